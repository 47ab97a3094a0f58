// The form that changes a run.

import {get, runPath, send} from "./backend.js";
import {html, useRef, useState} from "./preact.js";
import {Problem} from "./views.js";

/** @param {string} text */
export const tagsIn = text => [...new Set(text.split(",").map(tag => tag.trim()))].filter(Boolean);

// What a save replaces as a whole; tags are added and removed one by one.
const TEXTS = /** @type {const} */ (["name", "notes"]);
/** @typedef {typeof TEXTS[number]} Text */
// Others may change the run between its reading and the save.
const TRIES = 5;

// As a form has it.
/** @param {string | null | undefined} text */
const formText = text => (text ?? "").replaceAll("\r\n", "\n");

// Only what the form changes: a program may change the rest meanwhile.
/** @param {Run} run @param {FormData} form */
function changesTo(run, form) {
	/** @type {Record<string, unknown>} */
	const changes = {};
	for (const field of TEXTS) {
		const text = formText(String(form.get(field) ?? ""));
		if (text !== formText(run[field])) changes[field] = text || (field === "name" ? "" : null);
	}
	const [before, after] = [run.tags ?? [], tagsIn(String(form.get("tags") ?? ""))];
	const [added, removed] = [after.filter(tag => !before.includes(tag)), before.filter(tag => !after.includes(tag))];
	if (added.length) changes.add_tags = added;
	if (removed.length) changes.remove_tags = removed;
	return changes;
}

// Saves, unless somebody has changed a text that the form replaces: then returns what it is now.
/** @param {string} path @param {Run} seen @param {FormData} form @returns {Promise<Partial<Record<Text, string>>>} */
async function save(path, seen, form, tries = TRIES) {
	const changes = changesTo(seen, form);
	if (!Object.keys(changes).length) return {};
	/** @type {Run} */
	const run = await get(path, {});
	const isOther = (/** @type {Text} */ field) =>
		field in changes && ![formText(seen[field]), changes[field] ?? ""].includes(formText(run[field]));
	const others = TEXTS.filter(isOther).map(field => [field, formText(run[field])]);
	if (others.length) return Object.fromEntries(others);
	try {
		await send("PATCH", path, changes, run.etag ? {"If-Match": run.etag} : {});
	} catch (error) {
		if (/** @type {{status?: number}} */ (error).status !== 412 || !tries) throw error;
		return save(path, seen, form, tries - 1);
	}
	return {};
}

/** @type {Component} */
export function RunEditor({route, run, onDone}) {
	// What the fields started with, and what others saved since.
	const [opened] = useState(run);
	const [others, setOthers] = useState(/** @type {Partial<Record<Text, string>>} */ ({}));
	const [error, setError] = useState(/** @type {Error | null} */ (null));
	const form = useRef(/** @type {HTMLFormElement | null} */ (null));
	/** @param {SubmitEvent} event */
	const onSubmit = async event => {
		event.preventDefault();
		try {
			const found = await save(
				runPath(route, run.uuid),
				{...opened, ...others},
				new FormData(form.current ?? undefined)
			);
			setError(null);
			if (!Object.keys(found).length) return onDone();
			setOthers({...others, ...found});
		} catch (problem) {
			setError(/** @type {Error} */ (problem));
		}
		return undefined;
	};
	/** @param {Text} field @param {string} text */
	const take = (field, text) => {
		const input = form.current?.elements.namedItem(field);
		if (input instanceof HTMLInputElement || input instanceof HTMLTextAreaElement) input.value = text;
	};
	/** @param {Text} field */
	const changed = field => {
		const text = others[field];
		return (
			text !== undefined &&
			html`<div class="notice" role="alert"><p>The ${field} changed while you were editing. The saved ${field} now:</p>
			<pre class="text scroll" tabindex="0" role="region" aria-label="Saved ${field}">${text || "(empty)"}</pre>
			<p class="bar"><button type="button" onClick=${() => take(field, text)}>Use saved ${field}</button> <span class="quiet">Save again to keep yours.</span></p></div>`
		);
	};
	return html`<form class="card" ref=${form} onSubmit=${onSubmit}>
		<label>Name <input name="name" defaultValue=${opened.name} required maxlength="255" /></label>${changed("name")}
		<label>Tags <input name="tags" defaultValue=${(opened.tags ?? []).join(", ")} placeholder="Separated by commas" /></label>
		<label>Notes <textarea name="notes" rows="4" defaultValue=${opened.notes ?? ""}></textarea></label>${changed("notes")}
		<${Problem} error=${error} />
		<div class="bar"><button>Save</button><button type="button" onClick=${onDone}>Cancel</button></div>
	</form>`;
}
