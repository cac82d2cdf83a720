# The public names, for editors and type checkers: __init__.py finds the same when they are used.
from trokens.config import load_cfg as load_cfg
from trokens.fewshot.matchers import match as match
from trokens.models.backbone import build_backbone as build_backbone
from trokens.models.build import build_model as build_model
from trokens.models.pretrained import from_pretrained as from_pretrained
from trokens.models.trokens import Trokens as Trokens
from trokens.models.weights import load_weights as load_weights
from trokens.points.clustering import cluster_patches as cluster_patches
from trokens.points.hod import hod as hod
from trokens.points.sampling import sample_points as sample_points
from trokens.recognize.classifier import FewShotClassifier as FewShotClassifier
from trokens.trackers import build_tracker as build_tracker
from trokens.trackers import track as track
from trokens.video import read_video as read_video

__version__: str
