// Runs in groups by what they share: a status, a group, tags, a user, or a value of the config.

import {options, setOptions} from "./address.js";
import {configsOf, inOrder} from "./columns.js";
import {capitalized, Mark, number} from "./format.js";
import {html, useMemo} from "./preact.js";
import {pageOf} from "./project.js";

/** @type {Record<string, [label: string, read: (run: Run) => string | null | undefined]>} */
const FACTS = {
	status: ["Status", run => capitalized(run.status)],
	group: ["Group", run => run.group],
	job_type: ["Job type", run => run.job_type],
	tags: ["Tags", run => [...(run.tags ?? [])].sort().join(", ")],
	user: ["User", run => run.user?.username]
};
// Choices that are listed at once, and characters of a value.
const LISTED = 200;
const LONG = 60;
const CONFIG = "config:";

/** @param {string} key */
const labelOf = key => (Object.hasOwn(FACTS, key) ? FACTS[key][0] : key.replace(CONFIG, ""));

/** @type {Component} */
export function GroupChoice({runs, name: chosen}) {
	const configs = useMemo(
		() => [...configsOf(runs).values].filter(([, {size}]) => size > 1).map(([name]) => CONFIG + name),
		[runs]
	);
	const isListed = !chosen || Object.hasOwn(FACTS, chosen) || configs.slice(0, LISTED).includes(chosen);
	/** @param {string} key */
	const choice = key => html`<option value=${key}>${labelOf(key)}</option>`;
	return html`<label>Group by <select value=${chosen} onChange=${(/** @type {FieldEvent} */ {target}) => setOptions({group: target.value, fold: "", page: ""})}>
		<option value="">Nothing</option>${!isListed && choice(chosen)}${Object.keys(FACTS).map(choice)}
		${configs.length > 0 && html`<optgroup label="Config">${configs.slice(0, LISTED).map(choice)}</optgroup>`}</select></label>`;
}

// The groups of all runs of a project, so that a filter changes no color.
/** @param {Run[]} runs @param {string} key @returns {Grouping} */
export function groupingOf(runs, key) {
	const {rows} = Object.hasOwn(FACTS, key) ? {rows: null} : configsOf(runs);
	/** @param {Run} run */
	const textOf = run => {
		const value = rows ? rows.get(run.uuid)?.get(key.replace(CONFIG, "")) : FACTS[key][1](run);
		return value === undefined || value === null || value === ""
			? ""
			: typeof value === "string"
				? value
				: JSON.stringify(value);
	};
	const texts = new Map(runs.map(run => [run.uuid, textOf(run)]));
	// Those without a value are last.
	const names = [...new Set(texts.values())].sort((a, b) => Number(!a) - Number(!b) || inOrder(a, b));
	const slots = new Map(names.map((name, slot) => [name, slot]));
	/** @param {Run} run */
	const slotOf = ({uuid}) => slots.get(texts.get(uuid) ?? "") ?? 0;
	return {
		slotOf,
		// What a page of the runs shows: the heads of its groups, and its runs in groups that are not folded.
		lay(found, item, head) {
			const folded = options("fold") ?? [];
			const members = Map.groupBy(found, slotOf);
			const shown = [...members.keys()].sort((a, b) => a - b);
			// An empty item of an address counts as none.
			const groups = shown.map(slot => ({slot, name: `=${names[slot]}`, all: members.get(slot) ?? []}));
			const count = groups.reduce((sum, {name, all}) => sum + (folded.includes(name) ? 0 : all.length), 0);
			const {first, end, page, pages} = pageOf(count);
			let start = 0;
			const listed = groups.flatMap(({slot, name, all}) => {
				const isOpen = !folded.includes(name);
				const from = start;
				start += isOpen ? all.length : 0;
				const isHere = isOpen ? start > first && from < end : from >= first && (from < end || page === pages);
				if (!isHere) return [];
				const others = folded.filter(one => one !== name);
				const fold = isOpen ? [...others, name] : others;
				const label = names[slot] ? number(names[slot], LONG) : `No ${labelOf(key).toLowerCase()}`;
				const button = html`<button class="plain" aria-expanded=${isOpen} title=${names[slot]} onClick=${() => setOptions({fold: fold.length ? fold : "", page: ""})}><span class="fold-mark" aria-hidden="true">▾</span> <${Mark} slot=${slot} /> <bdi>${label}</bdi> <small>${number(all.length)}</small></button>`;
				const runs = isOpen ? all.slice(Math.max(0, first - from), end - from) : [];
				return [head(button, all, name), ...runs.map(item)];
			});
			return {count, listed};
		}
	};
}
