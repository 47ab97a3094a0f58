// Closes open menus, which are over what is below: by Escape, and by a click beside them.

// All but the one that has the target.
/** @param {EventTarget | null} target */
function close(target) {
	for (const menu of /** @type {NodeListOf<HTMLDetailsElement>} */ (document.querySelectorAll(".menu[open]"))) {
		if (menu.contains(/** @type {Node | null} */ (target))) continue;
		if (menu.contains(document.activeElement)) menu.querySelector("summary")?.focus();
		menu.open = false;
	}
}

addEventListener("keydown", ({key}) => key === "Escape" && close(null));
// Before a click removes its target.
addEventListener("click", ({target}) => close(target), true);

export {};
