"""The end of a run: report.html, and what the loggers show of the test. Neither ever fails the run."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from trokens.engine.loggers import RunLog
from trokens.fewshot.outcomes import Outcomes
from trokens.runtime.files import in_words

logger = logging.getLogger(__name__)


def conclude(cfg, log: RunLog, results: dict[str, Any], answered: Sequence[Outcomes] = ()) -> None:
    """Write the report and finish the log, in the main process.

    Args:
        results: What results.json says; of a run that was not tested, what is known of the code alone.
        answered: The test's answers.
    """
    if not (cfg.REPORT or (answered and log.loggers)):
        return
    try:
        from trokens.report.run_folder import RunFolder  # with drawings, half a second
        from trokens.report.run_page import class_drawings, write_report

        run = RunFolder.of(cfg.OUTPUT_DIR, results, answered)
        if cfg.REPORT:
            logger.info("Report: %s", write_report(run))
        if answered and log.loggers:
            log.finish(results, {name: drawing.pixels() for name, drawing in class_drawings(run).items()})
    except Exception as error:
        logger.debug("No report.", exc_info=True)
        logger.warning("The run is done, but no report of it could be made (%s); trokens report %s tries again.",
                       in_words(error), cfg.OUTPUT_DIR)
