// The address of each view, so that it can be shared and survives a reload.
import {html, useEffect, useState} from "./preact.js";
import {preload} from "./preloading.js";

/** @type {[RegExp, Route["view"]][]} */
const PATTERNS = [
	[/^\/$/, "projects"],
	[/^\/([^/]+)\/$/, "projects"],
	[/^\/([^/]+)\/projects\/([^/]+)\/$/, "project"],
	[/^\/([^/]+)\/projects\/([^/]+)\/compare\/$/, "compare"],
	[/^\/([^/]+)\/projects\/([^/]+)\/runs\/([^/]+)\/$/, "run"],
	[/^\/([^/]+)\/projects\/([^/]+)\/artifacts\/(?:([^/]+)\/(?:([^/]+)\/)?)?$/, "artifacts"]
];

/** @param {string} part */
function decode(part) {
	try {
		return decodeURIComponent(part);
	} catch {
		return part;
	}
}

/** @param {string} path @returns {Route} */
function routeOf(path) {
	for (const [pattern, view] of PATTERNS) {
		const match = pattern.exec(path);
		if (match) {
			const [namespace = "", project = "", item = "", version = ""] = match.slice(1).map(part => decode(part ?? ""));
			return {view, namespace, project, run: item, artifact: item, version};
		}
	}
	return {view: "unknown", namespace: "", project: "", run: "", artifact: "", version: ""};
}

/** @param {string} address */
export function navigate(address, {replace = false} = {}) {
	history[replace ? "replaceState" : "pushState"](null, "", address);
	dispatchEvent(new Event("popstate"));
}

export function useRoute() {
	const [, update] = useState(0);
	useEffect(() => {
		const onChange = () => update(count => count + 1);
		addEventListener("popstate", onChange);
		return () => removeEventListener("popstate", onChange);
	}, []);
	return routeOf(location.pathname);
}

/** @type {Component} */
export function Link({to, children, ...others}) {
	const onNear = () => preload(to, routeOf(new URL(to, location.href).pathname).view);
	/** @param {MouseEvent} event */
	const onClick = event => {
		if (event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
		event.preventDefault();
		navigate(to);
		scrollTo(0, 0);
	};
	return html`<a href=${to} onPointerEnter=${onNear} onFocus=${onNear} onClick=${onClick} ...${others}>${children}</a>`;
}

// What is chosen in a view is in its address.
const currentQuery = () => new URLSearchParams(location.search);
/** @param {string} name */
export const option = (name, otherwise = "") => currentQuery().get(name) ?? otherwise;
/** @param {string} name */
export const options = name => {
	const query = currentQuery();
	return query.has(name) ? query.getAll(name).filter(Boolean) : null;
};

/** @param {string} name */
export const optionSetter =
	name =>
	(/** @type {FieldEvent} */ {target}) =>
		setOptions({[name]: target.type === "checkbox" ? (target.checked ? 1 : "") : target.value, page: ""});

// The present query with some changes.
/** @param {Options} changes */
export function queryWith(changes) {
	const query = currentQuery();
	for (const [name, value] of Object.entries(changes)) {
		query.delete(name);
		// An empty list differs from a missing one.
		if (Array.isArray(value)) for (const item of value.length ? value : [""]) query.append(name, item);
		else if (value !== "" && value != null) query.append(name, String(value));
	}
	return query.size ? `?${query}` : "";
}

// What a list of runs was found and sorted by: a run keeps it, so that it knows the next one.
const LIST = ["q", "sort", "status"];

export function listQuery() {
	const query = new URLSearchParams([...currentQuery()].filter(([name]) => LIST.includes(name)));
	return query.size ? `?${query}` : "";
}

/** @param {Options} changes */
export const setOptions = changes => navigate(location.pathname + queryWith(changes), {replace: true});
