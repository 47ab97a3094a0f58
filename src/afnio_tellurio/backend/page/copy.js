// A button that copies a text.

import {html, useEffect, useState} from "./preact.js";

const SHOWN_MS = 1500;

// Browsers have no clipboard for pages that are neither of this machine nor encrypted.
/** @param {string} text */
async function copied(text) {
	if (navigator.clipboard) return navigator.clipboard.writeText(text);
	const field = document.createElement("textarea");
	field.value = text;
	document.body.append(field);
	field.select();
	const isDone = document.execCommand("copy");
	field.remove();
	if (!isDone) throw new Error("The browser did not copy it.");
}

/** @type {(props: {text: () => string, children?: unknown, label?: string, isPlain?: boolean}) => VNode} */
export function Copy({text, children, label, isPlain}) {
	const [state, setState] = useState("");
	useEffect(() => {
		const timer = state ? setTimeout(setState, SHOWN_MS, "") : 0;
		return () => clearTimeout(timer);
	}, [state]);
	const onClick = () =>
		copied(text()).then(
			() => setState("Copied"),
			error => setState(error.message)
		);
	return html`<button class=${isPlain ? "plain" : ""} aria-label=${label} title=${label} onClick=${onClick}>${children}</button>
		<span class="quiet" role="status">${state}</span>`;
}
