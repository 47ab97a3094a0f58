// The field that searches and filters the runs of a project, and the runs that it finds.

import {option, optionSetter, setOptions} from "./address.js";
import {loadMatches, usePolled} from "./backend.js";
import {capitalized} from "./format.js";
import {html, useEffect, useRef, useState} from "./preact.js";
import {SIGNS} from "./runs.js";

// After the last key of a filter. It is a request, and not valid before it is complete.
const PAUSE_MS = 600;
const OPERATORS = /[=<>~]|\bin\s*\(|\bin\s+tags\b/;

const EXAMPLE = 'config.lr < 0.1 and metric("loss").min < 2';

// Whether a text is a filter of docs/filters.md. Words, and a text in quotes, are searched for.
/** @param {string} text */
export const isFilter = text => OPERATORS.test(text) && !/^"[^"]*"$/.test(text);

// The filter in a text, if it is one.
/** @param {string} text */
export const whereOf = text => (isFilter(text.trim()) ? text.trim() : "");

/** @param {Run} run */
const textsOf = ({name, user, description, tags = []}) => [name, user?.username ?? "", description ?? "", ...tags];

/** @param {string} text @returns {(run: Run) => boolean} */
export function matching(text) {
	const part = text.replace(/^"([^"]*)"$/, "$1").toLowerCase();
	return run => textsOf(run).some(word => word.toLowerCase().includes(part));
}

// The runs that the address asks for, in its order; undefined until they are known.
/** @param {Route} route @param {RunList | undefined} list @returns {{found: Run[] | undefined, problem: SearchProblem}} */
export function useFound(route, list) {
	const text = option("q").trim();
	const where = whereOf(text);
	const sort = option("sort");
	const status = option("status");
	const latest = useRef(list);
	latest.current = list;
	// The backend filters and sorts by what the list does not have.
	const query = where || sort ? {where: where || undefined, sort: sort || undefined} : null;
	const {value, error} = usePolled(loadMatches(route, query, latest), [where, sort]);
	const held = useRef(/** @type {Run[] | undefined} */ (undefined));
	// Until the answer is there, what was found before.
	if (!list || (query && !value && !error)) return {found: list && held.current, problem: null};
	const runs = query && value ? value.uuids.flatMap(uuid => list.byId.get(uuid) ?? []) : list.runs;
	const isMatch = where ? () => true : matching(text);
	const found = runs.filter(run => (!status || run.status === status) && isMatch(run));
	held.current = found;
	const problem = /** @type {SearchProblem & {status?: number}} */ (error);
	return {found, problem: problem?.status === 400 ? problem : null};
}

/** @type {Component} */
export function RunSearch({problem}) {
	const applied = option("q");
	const isSort = problem?.field === "sort";
	const [text, setText] = useState(applied);
	const timer = useRef(0);
	const own = useRef(applied);
	// The address can change by other means. This runs later than further keys may be pressed.
	useEffect(() => {
		if (option("q") === own.current) return;
		own.current = option("q");
		setText(own.current);
	}, [applied]);
	useEffect(() => () => clearTimeout(timer.current), []);
	const apply = (/** @type {string} */ value) => {
		own.current = value;
		setOptions({q: value, page: ""});
	};
	/** @param {FieldEvent} event */
	const onInput = ({target: {value}}) => {
		clearTimeout(timer.current);
		setText(value);
		if (isFilter(value)) timer.current = setTimeout(apply, PAUSE_MS, value);
		else apply(value);
	};
	/** @param {KeyboardEvent} event */
	const onKeyDown = event => {
		if (event.key !== "Enter") return;
		clearTimeout(timer.current);
		apply(text);
	};
	return html`<div class="search" role="search">
		<input id="filter" type="search" placeholder="Search or filter (/)" aria-label="Search or filter runs" aria-describedby="filter-help"
			aria-invalid=${Boolean(problem) && !isSort} value=${text} onInput=${onInput} onKeyDown=${onKeyDown} />
		<select aria-label="Status" value=${option("status")} onChange=${optionSetter("status")}>
			<option value="">Any status</option>${Object.keys(SIGNS).map(status => html`<option value=${status}>${capitalized(status)}</option>`)}
		</select>
		<p class="help" id="filter-help">Words, or a filter such as <code>${EXAMPLE}</code></p>
		<p class="problem" role="alert">${problem?.message}
			${isSort && html`<button onClick=${() => setOptions({sort: ""})}>Reset sort</button>`}</p>
	</div>`;
}
