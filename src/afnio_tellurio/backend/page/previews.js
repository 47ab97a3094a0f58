// What a file shows: an image, a sound, text, a table or HTML. Its bytes are loaded once they are to be seen.

import {getBytes} from "./backend.js";
import {Head, number, Scroll, save} from "./format.js";
import {html, useEffect, useRef, useState} from "./preact.js";

// Of a text, and of what is shown whole.
const TEXT_BYTES = 256_000;
const WHOLE_BYTES = 32_000_000;
const TABLE_ROWS = 200;

// By the end of a path, for files without a content type.
/** @type {Record<string, string>} */
const TYPES = Object.assign(Object.create(null), {
	png: "image/png",
	jpg: "image/jpeg",
	jpeg: "image/jpeg",
	gif: "image/gif",
	webp: "image/webp",
	svg: "image/svg+xml",
	wav: "audio/wav",
	mp3: "audio/mpeg",
	ogg: "audio/ogg",
	flac: "audio/flac",
	html: "text/html",
	htm: "text/html",
	json: "application/json",
	csv: "text/csv",
	parquet: "application/vnd.apache.parquet",
	cfg: "text/plain",
	css: "text/plain",
	ini: "text/plain",
	js: "text/plain",
	jsonl: "text/plain",
	log: "text/plain",
	md: "text/plain",
	py: "text/plain",
	sh: "text/plain",
	toml: "text/plain",
	tsv: "text/plain",
	txt: "text/plain",
	xml: "text/plain",
	yaml: "text/plain",
	yml: "text/plain"
});
const IMAGES = ["image/png", "image/jpeg", "image/gif", "image/webp"];
const SOUNDS = ["audio/wav", "audio/mpeg", "audio/ogg", "audio/flac"];
const PARQUET = TYPES.parquet;
// Such files are often pickles.
const PICKLES = /\.(?:ckpt|hf|joblib|pickle|pkl|pt|pth)$/i;
// They can have scripts.
const DOCUMENTS = ["text/html", "image/svg+xml"];

// What a file is to the page, decided without its bytes and without what the server answers.
/** @param {StoredFile} file @returns {string} */
export function typeOf({path, kind, content_type}) {
	const declared = content_type?.split(";")[0].trim().toLowerCase();
	if (declared && declared !== "application/octet-stream") return declared;
	const [, end = ""] = /([^./]*)$/.exec(path) ?? [];
	const base = path.slice(path.lastIndexOf("/") + 1);
	return TYPES[end.toLowerCase()] ?? (kind === "text" || !base.includes(".") ? "text/plain" : "");
}

/** @param {string} type */
const isText = type => type.startsWith("text/") || type === "application/json";
/** @param {string} type */
const isWhole = type => [...IMAGES, ...SOUNDS, ...DOCUMENTS].includes(type);
/** @param {string} type */
const isShown = type => isWhole(type) || isText(type);

/** @param {StoredFile} file */
export const isPlainText = file => isText(typeOf(file)) && !DOCUMENTS.includes(typeOf(file));

/** @param {number | undefined} count */
export function bytes(count) {
	if (count === undefined) return "";
	const units = ["B", "kB", "MB", "GB", "TB"];
	const power = Math.min(units.length - 1, Math.floor(Math.log10(Math.max(1, count)) / 3));
	return `${number(Number((count / 1000 ** power).toPrecision(3)))} ${units[power]}`;
}

// True while an element is in view.
/** @param {{current: Element | null}} place */
export function useSeen(place) {
	const [isSeen, setSeen] = useState(false);
	useEffect(() => {
		const observer = new IntersectionObserver(entries => setSeen(entries.at(-1)?.isIntersecting ?? false));
		if (place.current) observer.observe(place.current);
		return () => observer.disconnect();
	}, []);
	return isSeen;
}

/** @param {StoredFile} file @param {Source} source @param {boolean} isWanted */
function useBlob(file, source, isWanted) {
	const [state, setState] = useState(/** @type {Loaded} */ ({}));
	useEffect(() => {
		if (!isWanted || state.digest === file.digest) return;
		const controller = new AbortController();
		const limit = isWhole(typeOf(file)) ? undefined : TEXT_BYTES;
		getBytes(...source, controller.signal, limit && (file.size ?? 0) > limit ? [0, limit] : undefined).then(
			blob => setState({blob, digest: file.digest}),
			error => controller.signal.aborted || setState({error})
		);
		return () => controller.abort();
	}, [isWanted, file.digest]);
	// What another step has stays until this one is there.
	return {...state, isCurrent: state.digest === file.digest};
}

// The address of a blob while it is shown. The type is one of the page's own.
/** @param {Blob} blob @param {string} type */
function useAddress(blob, type) {
	const [address, setAddress] = useState("");
	useEffect(() => {
		const created = URL.createObjectURL(new Blob([blob], {type}));
		setAddress(created);
		return () => URL.revokeObjectURL(created);
	}, [blob, type]);
	return address;
}

/** @type {Component} */
function Media({name, blob, type}) {
	const address = useAddress(blob, type);
	const [isBroken, setBroken] = useState(false);
	useEffect(() => setBroken(false), [blob]);
	const onError = () => setBroken(true);
	if (!address) return "";
	if (isBroken) return html`<p class="quiet">This file cannot be shown: it is not ${type}, or it is damaged.</p>`;
	return IMAGES.includes(type)
		? html`<img class="media" src=${address} alt=${name} onError=${onError} />`
		: html`<audio class="media" controls src=${address} aria-label=${name} onError=${onError}></audio>`;
}

/** @param {Blob} blob */
function useText(blob) {
	const [text, setText] = useState(/** @type {string | null} */ (null));
	useEffect(() => {
		let isOld = false;
		// A character that the end cuts is left out.
		blob.arrayBuffer().then(data => isOld || setText(new TextDecoder().decode(data, {stream: true})));
		return () => {
			isOld = true;
		};
	}, [blob]);
	return text;
}

// A document of an origin of its own: it cannot reach the page, its storage or the backend.
/** @type {Component} */
function Frame({name, text}) {
	const isSent = useRef(false);
	const onLoad = (/** @type {any} */ {target}) => {
		if (!isSent.current) target.contentWindow.postMessage(text, "*");
		isSent.current = true;
	};
	return html`<iframe class="media" title=${name} sandbox="allow-scripts" src="/assets/frame.html" onLoad=${onLoad}></iframe>`;
}

// The records of a CSV file: quoted fields can have commas and line breaks.
/** @param {string} text */
export function recordsOf(text, most = Infinity) {
	/** @type {string[][]} */
	const records = [];
	/** @type {string[]} */
	let record = [];
	const field = /(?:"((?:[^"]|"")*)"|([^,\r\n]*))(,|\r\n|\r|\n|$)/gy;
	while (field.lastIndex < text.length && records.length < most) {
		const match = field.exec(text);
		// A quote that nothing closes, or that is not at the edge of its field.
		if (!match) return records;
		record.push(match[1]?.replaceAll('""', '"') ?? match[2]);
		if (match[3] === ",") {
			if (field.lastIndex === text.length) record.push("");
			else continue;
		}
		records.push(record);
		record = [];
	}
	return records;
}

/** @type {Component} */
export const Rows = ({name, head, rows}) => html`<${Scroll} label=${name}><table>
		<thead><tr>${head.map(Head)}</tr></thead>
		<tbody>${rows.map(row => html`<tr>${row.map(cell => html`<td>${cell === null ? html`<small>null</small>` : html`<bdi>${cell}</bdi>`}</td>`)}</tr>`)}</tbody>
	</table><//>`;

/** @type {Component} */
function Records({name, text, isCut}) {
	const all = recordsOf(text, TABLE_ROWS + 2);
	// The end of a part is in the middle of a record.
	const records = isCut && all.length < TABLE_ROWS + 2 ? all.slice(0, -1) : all;
	const [head = [], ...rows] = records;
	return html`<${Rows} name=${name} head=${head} rows=${rows.slice(0, TABLE_ROWS)} />
		${(isCut || rows.length > TABLE_ROWS) && html`<p>Only the first ${Math.min(rows.length, TABLE_ROWS)} rows are shown.</p>`}`;
}

/** @type {Component} */
function Text({name, type, blob, isCut}) {
	const text = useText(blob);
	if (text === null) return "";
	if (DOCUMENTS.includes(type)) return html`<${Frame} key=${text} name=${name} text=${text} />`;
	if (type === "text/csv") return html`<${Records} name=${name} text=${text} isCut=${isCut} />`;
	return html`<pre class="text scroll" tabindex="0" aria-label=${name} role="region">${text}</pre>
		${isCut && html`<p>Only the first ${bytes(TEXT_BYTES)} are shown.</p>`}`;
}

// Code that most pages do not need.
/** @template T @param {() => Promise<T>} load @returns {[T | null, VNode | string]} */
export function useParts(load) {
	const [parts, setParts] = useState(/** @type {T | null} */ (null));
	const [problem, setProblem] = useState("");
	useEffect(() => void load().then(setParts, error => setProblem(error.message)), []);
	const state = problem ? html`<p class="problem" role="alert">${problem}</p>` : html`<p class="quiet">Loading…</p>`;
	return [parts, state];
}

/** @type {Component} */
function Table({file, source}) {
	const [parts, state] = useParts(() => import("./parquet.js"));
	return parts ? html`<${parts.Parquet} file=${file} source=${source} />` : state;
}

/** @type {Component} */
export function Preview({file, source, isSeen}) {
	const type = typeOf(file);
	const isLarge = isWhole(type) && (file.size ?? 0) > WHOLE_BYTES;
	const canShow = isShown(type) && !isLarge && !file.reference;
	const {blob, error, isCurrent} = useBlob(file, source, isSeen && canShow);
	if (file.reference) return html`<p>The bytes are elsewhere: <bdi>${file.reference}</bdi></p>`;
	if (type === PARQUET) return isSeen ? html`<${Table} file=${file} source=${source} />` : "";
	if (!canShow)
		return html`<p class="quiet">${isLarge ? "Too large to show." : "No preview of this type."}${PICKLES.test(file.path) && " Loading it in Python can run code. Load it only if you trust its author."}</p>`;
	if (error) return html`<p class="problem" role="alert">${error.message}</p>`;
	if (!blob) return html`<p class="quiet">Loading…</p>`;
	const Shown = isText(type) || DOCUMENTS.includes(type) ? Text : Media;
	const isCut = !isWhole(type) && (file.size ?? 0) > TEXT_BYTES;
	return html`<div aria-busy=${!isCurrent}><${Shown} name=${file.path} type=${type} blob=${blob} isCut=${isCut} /></div>`;
}

/** @type {Component} */
export function Download({file, source}) {
	const [problem, setProblem] = useState("");
	if (file.reference) return "";
	const onClick = () =>
		getBytes(...source, new AbortController().signal).then(
			blob => save(blob, file.path.slice(file.path.lastIndexOf("/") + 1)),
			error => setProblem(error.message)
		);
	return html`<button aria-label="Download ${file.path}" onClick=${onClick}>Download</button>
		<span class="problem" role="alert">${problem}</span>`;
}

/** @type {Component} */
export function FileItem({file, source, children}) {
	const [isOpen, setOpen] = useState(false);
	const toggle = (/** @type {any} */ event) => setOpen(event.currentTarget.open);
	return html`<li><div class="tools"><${Download} file=${file} source=${source} /></div>
		<details onToggle=${toggle}><summary><bdi>${file.path}</bdi> <small>${bytes(file.size)}</small></summary>
			${isOpen && html`<${Preview} file=${file} source=${source} isSeen=${true} />${children}`}</details></li>`;
}
