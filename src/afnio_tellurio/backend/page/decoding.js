// A worker that decodes the first rows of a Parquet file. It asks the page for bytes. The page ends it if it takes too long.

import {checkedCount, checkHeader, checkPage, skipStruct} from "./bounds.js";
import {cell, isDecimal, parsersFor} from "./cells.js";
import {decompress} from "./fzstd.js";
import {assembleNested} from "./hyparquet/assemble.js";
import {parquetHeader, readPage} from "./hyparquet/column.js";
import {convert, DEFAULT_PARSERS} from "./hyparquet/convert.js";
import {parquetMetadata, parquetSchema} from "./hyparquet/metadata.js";
import {isFlatColumn} from "./hyparquet/schema.js";
import {snappyUncompress} from "./hyparquet/snappy.js";

const ROWS = 200;
const COLUMNS = 50;
// Bytes of the file, and bytes after their decompression.
const MOST_BYTES = 8_000_000;
const MOST_DECODED = 128_000_000;
const MOST_REQUESTS = 200;
// What is read at once: of a small file or group of rows, and of a column.
const SPAN = 1_000_000;
const PIECE = 64_000;
// Most headers of pages are short, but they can hold values.
const HEADERS = [4_000, PIECE];

const TOO_MUCH = "more than 8 MB would have to be read";

/** @param {unknown} error */
function reasonOf(error) {
	// What the engine reports is about the code.
	if (error instanceof TypeError || error instanceof RangeError) return "it is damaged";
	const {message} = /** @type {Error} */ (error);
	return message === TOO_MUCH || message.startsWith("it ") ? message : `it is damaged or not supported: ${message}`;
}

class StoredBytes {
	used = 0;
	decoded = 0;
	requests = 0;
	/** @type {{start: number, data: Uint8Array}[]} */
	parts = [];

	/** @param {number} size */
	constructor(size) {
		this.size = size;
	}

	// Reads up to another byte, unless it has been read.
	/** @param {number} start @param {number} end */
	async read(start, end, until = end) {
		if (!(start >= 0 && start <= end && end <= this.size)) throw new Error("it refers to bytes beyond its end");
		const known = this.parts.find(part => part.start <= start && end <= part.start + part.data.length);
		if (known) return known.data.subarray(start - known.start, end - known.start);
		// Another column can need less.
		if (this.used + until - start > MOST_BYTES || this.requests === MOST_REQUESTS) throw new Error(TOO_MUCH);
		this.used += until - start;
		this.requests += 1;
		const data = await bytesOfFile(start, until);
		this.parts.push({start, data});
		return data;
	}

	/** @param {number} count */
	decode(count) {
		this.decoded += count;
		if (this.decoded > MOST_DECODED) throw new Error("it has too many bytes to decode");
	}
}

/** @type {((answer: {data?: ArrayBuffer, problem?: string}) => void)[]} */
const waiting = [];

/** @param {number} start @param {number} end @returns {Promise<Uint8Array>} */
function bytesOfFile(start, end) {
	postMessage({range: [start, end]});
	return new Promise((resolve, reject) =>
		waiting.push(({data, problem}) => (data ? resolve(new Uint8Array(data)) : reject(new Error(problem))))
	);
}

/** @param {StoredBytes} file */
async function footerOf(file) {
	const {size} = file;
	if (size < 12) throw new Error("it is not a Parquet file");
	const last = await file.read(Math.max(0, size - (size <= SPAN ? size : PIECE)), size);
	const end = new DataView(last.buffer, last.byteOffset + last.length - 8);
	if (end.getUint32(4, true) !== 0x31524150) throw new Error("it is not a Parquet file");
	const length = end.getUint32(0, true) + 8;
	const footer = await file.read(size - length, size);
	skipStruct({view: new DataView(footer.buffer, footer.byteOffset, footer.length - 8), offset: 0});
	return parquetMetadata(footer, {geoparquet: false});
}

/** @param {Uint8Array} data @param {number} size */
async function gunzip(data, size) {
	const stream = new Blob([/** @type {any} */ (data)]).stream().pipeThrough(new DecompressionStream("gzip"));
	const page = new Uint8Array(size);
	let length = 0;
	const reader = stream.getReader();
	for (let piece = await reader.read(); !piece.done; piece = await reader.read()) {
		if (length + piece.value.length > size) {
			await reader.cancel();
			throw new Error("a page is longer than it declares");
		}
		page.set(piece.value, length);
		length += piece.value.length;
	}
	return page.subarray(0, length);
}

/** @param {Uint8Array} data @param {number} size @param {string} codec */
async function decompressed(data, size, codec) {
	if (codec === "UNCOMPRESSED" || !size) return data;
	if (codec === "GZIP") return gunzip(data, size);
	const page = new Uint8Array(size);
	if (codec === "SNAPPY") snappyUncompress(data, page);
	else if (codec === "ZSTD") return decompress(data, page);
	else throw new Error(`the compression ${codec} is not supported`);
	return page;
}

// The bytes of a page as if they had not been compressed.
/** @param {Uint8Array} data @param {PageHeader} header @param {string} codec */
async function plainPage(data, header, codec) {
	const v2 = header.data_page_header_v2;
	const levels = v2 ? v2.repetition_levels_byte_length + v2.definition_levels_byte_length : 0;
	const used = v2?.is_compressed === false ? "UNCOMPRESSED" : codec;
	const values = await decompressed(data.subarray(levels), header.uncompressed_page_size - levels, used);
	// hyparquet reads numbers in place, at multiples of their size.
	const page = new Uint8Array(levels + values.length);
	page.set(data.subarray(0, levels));
	page.set(values, levels);
	if (page.length !== header.uncompressed_page_size) throw new Error("a page has not the length that it declares");
	return page;
}

/** @param {StoredBytes} file @param {number} offset @param {number} end @returns {Promise<[PageHeader, number]>} */
async function headerAt(file, offset, end) {
	for (const size of HEADERS) {
		const stop = Math.min(end, offset + size);
		const bytes = await file.read(offset, stop, Math.max(stop, Math.min(end, offset + PIECE)));
		const reader = {view: new DataView(bytes.buffer, bytes.byteOffset, bytes.length), offset: 0};
		try {
			skipStruct(reader);
		} catch (error) {
			if (stop < end && size < PIECE) continue;
			throw error;
		}
		reader.offset = 0;
		const header = parquetHeader(reader);
		checkHeader(header);
		return [header, offset + reader.offset];
	}
	throw new Error("a header is too long");
}

// The first values of a column in a group of rows.
/** @param {StoredBytes} file @param {ColumnMetaData} meta @param {SchemaTree[]} schemaPath @param {number} most */
async function valuesOf(file, meta, schemaPath, most) {
	const element = schemaPath[schemaPath.length - 1].element;
	const isFlat = isFlatColumn(schemaPath);
	const start = Number(meta.dictionary_page_offset || meta.data_page_offset);
	const end = start + Number(meta.total_compressed_size);
	const decoder = /** @type {ColumnDecoder} */ ({
		...meta,
		pathInSchema: meta.path_in_schema,
		schemaPath,
		// They are written with all digits.
		element: isFlat && isDecimal(element) ? {...element, converted_type: undefined, logical_type: undefined} : element,
		parsers: parsersFor(element),
		codec: "UNCOMPRESSED",
		utf8: false
	});
	/** @type {any} */
	let dictionary;
	/** @type {any} */
	let last;
	/** @type {any[]} */
	const chunks = [];
	const count = () => chunks.reduce((sum, chunk) => sum + chunk.length, 0);
	// The last row of a nested column can go on in the next page.
	for (let offset = start; offset < end && count() < most + (isFlat ? 0 : 1); ) {
		const [header, from] = await headerAt(file, offset, end);
		offset = from + header.compressed_page_size;
		file.decode(header.uncompressed_page_size);
		const page = await plainPage(await file.read(from, offset), header, meta.codec);
		checkPage(page, header, decoder);
		const plain = {view: new DataView(page.buffer), offset: 0};
		const {data} = readPage(plain, {...header, compressed_page_size: page.length}, decoder, dictionary, last, 0);
		if (header.type === "DICTIONARY_PAGE") dictionary = data && convert(data, decoder);
		else if (data && data !== last) {
			chunks.push(data);
			last = data;
		}
	}
	if (count() < most) throw new Error("it has fewer rows than it declares");
	return chunks.flatMap(chunk => Array.from(chunk.slice(0, most))).slice(0, most);
}

/** @param {SchemaTree[]} path @returns {SchemaTree[][]} The paths of the leaves below. */
function leavesOf(path) {
	const {children} = path[path.length - 1];
	return children.length ? children.flatMap(child => leavesOf([...path, child])) : [path];
}

/** @param {StoredBytes} file @param {ColumnMetaData[]} metas @param {SchemaTree[][]} leaves @param {number} most */
async function cellsOf(file, metas, leaves, most) {
	const column = leaves[0][1];
	if (isFlatColumn(leaves[0]))
		return (await valuesOf(file, metas[0], leaves[0], most)).map(value => cell(value, column.element));
	const parts = new Map();
	for (const [index, leaf] of leaves.entries())
		parts.set(leaf[leaf.length - 1].path.join("."), await valuesOf(file, metas[index], leaf, most));
	assembleNested(parts, column, DEFAULT_PARSERS);
	return Array.from(parts.get(column.element.name), value => cell(value, null));
}

/** @param {StoredBytes} file @param {(ColumnMetaData | undefined)[]} metas */
async function readTogether(file, metas) {
	const known = metas.filter(meta => meta !== undefined);
	const starts = known.map(meta => Number(meta.dictionary_page_offset || meta.data_page_offset));
	const start = Math.min(...starts);
	const end = Math.max(...known.map((meta, index) => starts[index] + Number(meta.total_compressed_size)));
	if (end - start <= SPAN && end <= file.size) await file.read(start, end);
}

/** @param {number} size @returns {Promise<Decoded>} */
async function firstRows(size) {
	const file = new StoredBytes(size);
	const metadata = await footerOf(file);
	const tree = parquetSchema(metadata);
	const columns = tree.children.slice(0, COLUMNS).map(child => leavesOf([tree, child]));
	const total = checkedCount(metadata.num_rows, Number.MAX_SAFE_INTEGER, "rows");
	/** @type {(string | null)[][]} */
	const shown = columns.map(() => []);
	/** @type {Map<number, string>} */
	const problems = new Map();
	let count = 0;
	for (const group of metadata.row_groups) {
		const most = Math.min(ROWS - count, checkedCount(group.num_rows, Number.MAX_SAFE_INTEGER, "rows"));
		if (!most) continue;
		let next = 0;
		const metas = columns.map(leaves => leaves.map(() => group.columns[next++]?.meta_data));
		const before = problems.size;
		await readTogether(file, metas.flat());
		for (const [index, leaves] of columns.entries()) {
			if (problems.has(index)) continue;
			try {
				const known = metas[index].map(meta => {
					if (!meta) throw new Error("it is encrypted or damaged");
					return meta;
				});
				shown[index].push(...(await cellsOf(file, known, leaves, most)));
			} catch (error) {
				problems.set(index, reasonOf(error));
			}
		}
		// All columns end at the same row.
		if (count && problems.size > before) break;
		count += most;
		if (count === ROWS || problems.size === columns.length) break;
	}
	if (columns.length && problems.size === columns.length) throw new Error(problems.get(0));
	const isKept = (/** @type {number} */ index) => shown[index].length >= count && (count > 0 || !problems.has(index));
	const rows = Array.from({length: count}, (_, row) =>
		shown.map((cells, index) => (isKept(index) ? cells[row] : null))
	);
	return {
		head: columns.map(([[, {element}]]) => element.name),
		rows,
		total,
		width: tree.children.length,
		problems: [...problems]
			.filter(([index]) => !isKept(index))
			.map(([index, text]) => [columns[index][0][1].element.name, text])
	};
}

addEventListener("message", ({data}) => {
	if (data.size === undefined) waiting.shift()?.(data);
	else
		firstRows(data.size).then(
			decoded => postMessage({decoded}),
			error => postMessage({problem: reasonOf(error)})
		);
});
// It is ready.
postMessage({});
