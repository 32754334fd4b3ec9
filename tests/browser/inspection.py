"""What is asked of every page: nothing cut off, small, heavy or jumping, and nothing that axe knows to be wrong."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

import axe_playwright_python
from playwright.sync_api import Page

HEAVIEST = 100_000
"""Bytes of a first load, as they come without compression."""
SHIFTS_MOST = 0.01
AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text()

# Links within a sentence are as high as its line, as WCAG 2.5.8 allows.
TOO_SMALL = """() => [...document.querySelectorAll('a, button, summary, select, input:not([type=hidden]), textarea')]
    .filter(element => element.checkVisibility() && !element.closest('.sf-hidden, .sf-skip'))
    .filter(element => !(getComputedStyle(element).display === 'inline' &&
        [...element.parentElement.childNodes].some(node => node.nodeType === 3 && node.data.trim())))
    .filter(element => { const box = (element.closest('label') ?? element).getBoundingClientRect();
                         return box.height < 24 || box.width < 24 })
    .map(element => element.outerHTML.slice(0, 200))"""
CLIPPED = """() => {
    const found = new Set();
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    const range = document.createRange();
    for (let node = walker.nextNode(); node; node = walker.nextNode()) {
        const parent = node.parentElement;
        if (!node.data.trim() || !parent.checkVisibility() || parent.closest('.sf-hidden, .sf-skip, .visually-hidden, svg, option'))
            continue;
        range.selectNodeContents(node);
        const text = range.getBoundingClientRect();
        if (!text.width) continue;
        const cut = [];
        let block = true, unseen = false;
        for (let box = parent; box !== document.body; box = box.parentElement) {
            const style = getComputedStyle(box), edge = box.getBoundingClientRect();
            const cuts = /hidden|clip/.test(style.overflowX);
            unseen ||= cuts && edge.width <= 1; // for screen readers alone
            if (/auto|scroll/.test(style.overflowX)) break;
            const isBlock = block && !/^(inline|contents)$/.test(style.display);
            if ((cuts || isBlock) && (text.right > edge.right + 1 || text.left < edge.left - 1) ||
                cuts && (text.bottom > edge.bottom + 2 || text.top < edge.top - 2))
                cut.push(`“${node.data.trim().slice(0, 60)}” by ${box.outerHTML.slice(0, 120)}`);
            if (isBlock) block = false;
        }
        if (!unseen) cut.forEach(each => found.add(each));
    }
    return [...found];
}"""
OVERLAPPING = """() => {
    const inSight = element => { // what of it is not scrolled away
        let {left, top, right, bottom} = element.getBoundingClientRect();
        for (let box = element.parentElement; box !== document.body; box = box.parentElement) {
            if (getComputedStyle(box).overflowY === 'visible') continue;
            const edge = box.getBoundingClientRect();
            [left, top] = [Math.max(left, edge.left), Math.max(top, edge.top)];
            [right, bottom] = [Math.min(right, edge.right), Math.min(bottom, edge.bottom)];
        }
        return {left, top, right, bottom};
    };
    const boxes = [...document.querySelectorAll('a, button, summary, select, input:not([type=hidden]), textarea')]
        .filter(element => element.checkVisibility() && !element.closest('.sf-hidden, .sf-skip'))
        .map(element => [element, inSight(element)]);
    const found = [];
    for (const [one, a] of boxes) for (const [two, b] of boxes) {
        if (one === two || one.contains(two) || two.contains(one) || one.compareDocumentPosition(two) & 2) continue;
        const width = Math.min(a.right, b.right) - Math.max(a.left, b.left);
        const height = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
        if (width > 1 && height > 1) found.push(`${one.outerHTML.slice(0, 120)} and ${two.outerHTML.slice(0, 120)}`);
    }
    return found;
}"""
WEIGHT = """() => [...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')]
    .reduce((sum, entry) => sum + entry.encodedBodySize, 0)"""
RUN_AXE = """async ([rules, without]) => (await axe.run(document, {
    preload: false,
    resultTypes: ['violations'],
    ...(rules.length ? {runOnly: {type: 'rule', values: rules}} : {}),
    rules: Object.fromEntries(without.map(rule => [rule, {enabled: false}])),
})).violations.map(each => `axe ${each.id}: ${each.help}: ` +
    each.nodes.map(node => `${node.target.join(' ')} ${node.any.map(check => check.message).join(' ')}`).join(' | '))"""
# Also beside somebody whose username is an address of mail.
NAVIGATION_WRAPS = """() => {
    const user = document.querySelector('.sf-username'), link = document.querySelector('.sf-site a');
    if (!user || !link) return false;
    const name = user.textContent;
    user.textContent = 'maximiliane.mustermann@connections.example';
    const height = document.querySelector('.sf-site').offsetHeight;
    user.textContent = name;
    return height > 1.5 * link.offsetHeight;
}"""


def misshapen(page: Page) -> Iterator[str]:
    """At the page's present width."""
    width = page.viewport_size["width"] if page.viewport_size else 0
    found = page.evaluate("document.documentElement.scrollWidth")
    if found > width:
        yield f"is {found} wide"
    if width >= 768 and page.evaluate(NAVIGATION_WRAPS):
        yield "its navigation takes more than one line"
    for name, script in (("too small", TOO_SMALL), ("clipped", CLIPPED), ("overlapping", OVERLAPPING)):
        yield from (f"{name}: {element}" for element in page.evaluate(script))


def misbehaved(page: Page, *, measured: bool = True) -> Iterator[str]:
    """Since it was loaded; of CSP alone unless `measured`, of nothing where JavaScript is off."""
    reports, shift = page.evaluate("[window.sfReports ?? [], window.sfShift ?? 0]")
    yield from (f"CSP: {report}" for report in reports)
    if not measured:
        return
    if shift > SHIFTS_MOST:
        yield f"shifts by {shift:.3f}"
    weight = page.evaluate(WEIGHT)
    if weight > HEAVIEST:
        yield f"weighs {weight} bytes"


def inaccessible(page: Page, *, rules: Collection[str] = (), without: Collection[str] = ()) -> list[str]:
    """Violations of axe's rules, best practices among them: all, or only `rules`, but for those in `without`."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE)
    found: list[str] = page.evaluate(RUN_AXE, [list(rules), list(without)])
    return found
