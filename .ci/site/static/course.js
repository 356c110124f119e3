// What is wider than its place scrolls by itself; let the keyboard reach it too.
const wide = ".highlight pre, .output pre, .table-wrapper, .output.text_html, math[display=block]";
const watch = new ResizeObserver((seen) => {
  for (const { target } of seen) {
    const scrolls = target.scrollWidth > target.clientWidth;
    if (scrolls) target.setAttribute("tabindex", "0");
    else target.removeAttribute("tabindex");
  }
});
for (const element of document.querySelectorAll(wide)) watch.observe(element);

// The theme's menus open by labels, which only a pointer reaches.
const menus = { __navigation: "All pages", __toc: "On this page" };
for (const [box, name] of Object.entries(menus)) {
  for (const label of document.querySelectorAll(`.page label[for=${box}]`)) {
    const attributes = { tabindex: "0", role: "button", "aria-label": name };
    for (const [key, value] of Object.entries(attributes)) label.setAttribute(key, value);
    label.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      label.click();
    });
  }
}
