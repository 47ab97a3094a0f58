// The address of each view, so that it can be shared and survives a reload.
import { useEffect, useState, html } from "./preact.js";

const PLACES = [
	[/^\/$/, "projects"],
	[/^\/([^/]+)\/$/, "projects"],
	[/^\/([^/]+)\/projects\/([^/]+)\/$/, "project"],
	[/^\/([^/]+)\/projects\/([^/]+)\/compare\/$/, "compare"],
	[/^\/([^/]+)\/projects\/([^/]+)\/runs\/([^/]+)\/$/, "run"],
];

function decoded(part) {
	try {
		return part && decodeURIComponent(part);
	} catch {
		return part;
	}
}

export function place() {
	for (const [pattern, view] of PLACES) {
		const match = pattern.exec(location.pathname);
		if (match) {
			const [namespace, project, run] = match.slice(1).map(decoded);
			return { view, namespace, project, run };
		}
	}
	return { view: "unknown" };
}

export function go(address, { replace = false } = {}) {
	history[replace ? "replaceState" : "pushState"](null, "", address);
	dispatchEvent(new Event("popstate"));
}

export function useAddress() {
	const [, renew] = useState(0);
	useEffect(() => {
		const onChange = () => renew((count) => count + 1);
		addEventListener("popstate", onChange);
		return () => removeEventListener("popstate", onChange);
	}, []);
	return place();
}

export function Link({ to, children, ...others }) {
	const onClick = (event) => {
		if (event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
		event.preventDefault();
		go(to);
		scrollTo(0, 0);
	};
	return html`<a href=${to} onClick=${onClick} ...${others}>${children}</a>`;
}

// What is chosen in a view is in its address.
const chosen = () => new URLSearchParams(location.search);
export const option = (name, otherwise = "") => chosen().get(name) ?? otherwise;
export const options = (name) => {
	const query = chosen();
	return query.has(name) ? query.getAll(name).filter(Boolean) : null;
};

export const chooser = (name) => ({ target }) =>
	choose({ [name]: target.type === "checkbox" ? (target.checked ? 1 : "") : target.value, page: "" });

export function choose(changes) {
	const query = chosen();
	for (const [name, value] of Object.entries(changes)) {
		query.delete(name);
		// An empty list is not the same as none.
		const values = Array.isArray(value) ? (value.length ? value : [""]) : [value];
		for (const one of values) if (Array.isArray(value) || (one !== "" && one != null)) query.append(name, one);
	}
	const search = query.size ? `?${query}` : "";
	go(location.pathname + search, { replace: true });
}
