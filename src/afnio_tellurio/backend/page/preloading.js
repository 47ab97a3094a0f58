// The code of the view that a link leads to, before a person opens it.

/** @type {Set<string>} */
const asked = new Set();

// The HTML of each view links all of its code: without it, a browser finds a module only in the one that imports it.
/** @param {string} to @param {string} view */
export async function preload(to, view) {
	const {searchParams} = new URL(to, location.href);
	const key = `${view} ${searchParams.get("tab") ?? ""}`;
	if (asked.has(key)) return;
	asked.add(key);
	// The view itself reports a server that cannot be reached.
	const html = await fetch(to).then(
		response => response.text(),
		() => ""
	);
	for (const link of new DOMParser().parseFromString(html, "text/html").querySelectorAll("link[rel=modulepreload]"))
		document.head.append(link);
}
