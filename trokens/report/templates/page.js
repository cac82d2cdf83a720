"use strict";
(() => {
  const form = document.getElementById("filter");
  if (!form) return;
  const [sure, action, wrong, shown, atMost, none] = ["sure", "action", "wrong", "shown", "atmost", "none"].map(
    (id) => document.getElementById(id));
  const marked = [...document.querySelectorAll("[data-confidence]")];
  const videos = [...document.querySelectorAll("article.video")];
  const update = () => {
    let count = 0;
    for (const item of marked) {
      const fits = 100 * item.dataset.confidence <= +sure.value + 1e-9
        && (!action.value || item.dataset.action === action.value)
        && !(wrong && wrong.checked && item.dataset.wrong !== "1");
      item.hidden = !fits;
      count += fits;
    }
    for (const video of videos) video.hidden = !video.querySelector("[data-confidence]:not([hidden])");
    atMost.value = sure.value;
    shown.textContent = `${count} of ${marked.length} shown`;
    none.hidden = count > 0;
  };
  form.addEventListener("input", update);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.hidden = false;
  update();
})();
