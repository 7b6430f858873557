/* A table that scrolls by itself can be reached and scrolled by keyboard. */
addEventListener("load", () => {
  for (const table of document.querySelectorAll(".bd-article table")) {
    if (table.scrollWidth > table.clientWidth) table.tabIndex = 0;
  }
});

/* Sphinx calls the bibliography a list of things that are no list items; screen readers take them one by one instead. */
addEventListener("DOMContentLoaded", () => {
  for (const list of document.querySelectorAll('.citation-list[role="list"]')) list.removeAttribute("role");
});
