// Keeps the focus of the keyboard when a press removes or disables what has it.

/** @type {Element[]} The element with the focus, and all that it is in. */
let path = [];

/** @param {Element | null} element */
function remember(element) {
	path = [];
	for (let at = element; at && at !== document.body; at = at.parentElement) path.push(at);
}

/** @param {Element} element */
const isUsable = element => element.isConnected && !element.matches(":disabled");

// The next Tab goes on from there.
function keep() {
	const held = document.activeElement;
	const isLost = held === null || held === document.body || held.matches(":disabled");
	if (!isLost || !path.length || isUsable(path[0])) return;
	const next = /** @type {HTMLElement | undefined} */ (path.find(isUsable));
	if (!next) return;
	next.tabIndex = -1;
	next.focus({preventScroll: true});
}

// What had the focus before this was loaded.
remember(document.activeElement);
addEventListener("focusin", ({target}) => remember(/** @type {Element} */ (target)));
new MutationObserver(keep).observe(document.body, {childList: true, subtree: true, attributeFilter: ["disabled"]});

export {};
