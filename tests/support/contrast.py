"""How well the text of a page can be read: the contrast of WCAG 2.2, of what a browser really shows.

Owns the script that measures. Must never judge what has no text.
"""

from __future__ import annotations

from typing import Final

from support.browser import Browser

_MEASURE: Final = """
const least = arguments[0];
const parts = text => {
  const found = text.match(/[\\d.]+/g).map(Number);
  return { rgb: found.slice(0, 3), alpha: found.length > 3 ? found[3] : 1 };
};
const over = (top, below) => top.rgb.map((one, at) => one * top.alpha + below[at] * (1 - top.alpha));
const linear = one => (one /= 255) <= 0.04045 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4;
const luminance = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
const ratio = (one, other) => {
  const [less, more] = [luminance(one), luminance(other)].sort((a, b) => a - b);
  return (more + 0.05) / (less + 0.05);
};
const ground = element => {
  const above = [];
  for (let one = element; one; one = one.parentElement) {
    if (Number(getComputedStyle(one).opacity) !== 1) throw new Error(`${one.outerHTML.slice(0, 200)} lets through`);
    const box = one instanceof SVGGElement && [...one.children].find(child => child.tagName === 'rect');
    if (box) above.push(parts(getComputedStyle(box).fill));
    above.push(parts(getComputedStyle(one).backgroundColor));
    if (above.at(-1).alpha === 1) break;
  }
  return above.reverse().reduce((below, top) => over(top, below), [255, 255, 255]);
};
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
const measured = [], poor = [];
while (walker.nextNode()) {
  const { parentElement: element, data } = walker.currentNode;
  if (!data.trim() || !element.checkVisibility() || element.closest('title, button:disabled')) continue;
  const style = getComputedStyle(element), colour = parts(element instanceof SVGElement ? style.fill : style.color);
  const below = ground(element), found = ratio(over(colour, below), below);
  measured.push(found);
  if (found < least) poor.push(`${data.trim().slice(0, 60)}: ${found.toFixed(2)}`);
}
return [measured.length, poor];
"""


def contrasts(browser: Browser, least: float) -> tuple[int, list[str]]:
    """How many pieces of text were measured, and those with less contrast than `least` (4.5: level AA), with it.

    What is disabled is not measured: WCAG makes no demand of it.
    """
    count, poor = browser.run(_MEASURE, least)
    return int(count), list(poor)
