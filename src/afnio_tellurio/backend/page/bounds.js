// What a file may make hyparquet do. It trusts counts in a file: a few bytes could take all memory of the browser.

import {deltaBinaryUnpack} from "./hyparquet/delta.js";
import {readRleBitPackedHybrid} from "./hyparquet/encoding.js";
import {getMaxDefinitionLevel, getMaxRepetitionLevel} from "./hyparquet/schema.js";
import {readVarInt} from "./hyparquet/thrift.js";

// Of one page after its decompression. Writers aim at 1 MB, and at most a million rows.
const PAGE_BYTES = 16_000_000;
const PAGE_VALUES = 2 ** 21;
// Values that a run can have beyond those of its page: writers fill up the last group.
const SPARE = 1000;
const ENCODINGS = [
	"PLAIN",
	"PLAIN_DICTIONARY",
	"RLE_DICTIONARY",
	"RLE",
	"DELTA_BINARY_PACKED",
	"DELTA_LENGTH_BYTE_ARRAY",
	"DELTA_BYTE_ARRAY",
	"BYTE_STREAM_SPLIT"
];

/** @param {number | bigint | undefined} count @param {number} most @param {string} what */
export function checkedCount(count, most, what) {
	const number = Number(count);
	if (!(number >= 0)) throw new Error(`invalid number of ${what}`);
	if (number > most) throw new Error(`too many ${what}`);
	return number;
}

// Reads over a struct of the compact protocol. A list that is longer than the bytes ends in a RangeError.
/** @param {Reader} reader @param {number} [type] The type of an element; a struct when not given. */
export function skipStruct(reader, type = 12) {
	const {view} = reader;
	if (type === 3) reader.offset += 1;
	else if (type >= 4 && type <= 6) while (view.getUint8(reader.offset++) & 0x80);
	else if (type === 7) reader.offset += 8;
	else if (type === 8) {
		const length = readVarInt(reader);
		reader.offset += checkedCount(length, view.byteLength - reader.offset, "bytes");
	} else if (type === 9) {
		const start = view.getUint8(reader.offset++);
		const size = start >> 4 === 15 ? readVarInt(reader) : start >> 4;
		const inner = start & 15;
		checkedCount(size, view.byteLength - reader.offset, "elements");
		for (let index = 0; index < size; index += 1) skipStruct(reader, inner === 1 || inner === 2 ? 3 : inner);
	} else if (type === 12) {
		for (let field = view.getUint8(reader.offset++); field & 15; field = view.getUint8(reader.offset++)) {
			if (!(field >> 4)) readVarInt(reader);
			skipStruct(reader, field & 15);
		}
	} else if (type > 2) throw new Error(`unknown type ${type}`);
	if (reader.offset > view.byteLength) throw new Error("the bytes end early");
}

// The page before it is decompressed.
/** @param {PageHeader} header */
export function checkHeader(header) {
	checkedCount(header.compressed_page_size, PAGE_BYTES, "compressed bytes in a page");
	checkedCount(header.uncompressed_page_size, PAGE_BYTES, "bytes in a page");
	const {data_page_header: v1, data_page_header_v2: v2, dictionary_page_header: dictionary} = header;
	const page = v1 ?? v2 ?? dictionary;
	if (!page) throw new Error("a page has no header");
	checkedCount(page.num_values, PAGE_VALUES, "values in a page");
	if (!dictionary && !ENCODINGS.includes(page.encoding))
		throw new Error(`the encoding ${page.encoding} is not supported`);
	if (!v2) return;
	const levels = header.uncompressed_page_size;
	const repetition = checkedCount(v2.repetition_levels_byte_length, levels, "levels");
	checkedCount(v2.definition_levels_byte_length, levels - repetition, "levels");
	checkedCount(v2.num_nulls, v2.num_values, "nulls");
}

/** @param {number} value */
const widthOf = value => 32 - Math.clz32(value);

// Runs whose length is in the bytes: hyparquet writes all values of a run.
/** @param {Reader} reader @param {number} end @param {number} width @param {number} count */
function checkRuns(reader, end, width, count) {
	if (width > 32) throw new Error(`invalid width ${width}`);
	for (let seen = 0; seen < count && reader.offset < end; ) {
		const header = readVarInt(reader);
		const length = header & 1 ? (header >>> 1) * 8 : header >>> 1;
		if (length > count + SPARE) throw new Error("too many values in a run");
		reader.offset += header & 1 ? Math.max(1, (header >>> 1) * width) : (width + 7) >> 3;
		seen += length;
	}
}

// A value can repeat the start of the one before it.
/** @param {Reader} reader @param {number} count */
function checkPrefixes(reader, count) {
	const lengths = new Int32Array(count);
	deltaBinaryUnpack(reader, count, lengths);
	let sum = 0;
	for (const length of lengths) sum += checkedCount(length, PAGE_BYTES, "bytes in a prefix");
	checkedCount(sum, 4 * PAGE_BYTES, "bytes in prefixes");
}

// A data page after it was decompressed.
/** @param {Uint8Array} bytes @param {PageHeader} header @param {ColumnDecoder} decoder */
export function checkPage(bytes, header, {schemaPath, type, element}) {
	const {data_page_header: v1, data_page_header_v2: v2} = header;
	const page = v1 ?? v2;
	if (!page) return;
	const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
	const reader = {view, offset: 0};
	let count = page.num_values;
	/** @param {number} most @param {number | undefined} length @param {boolean} isDefinition */
	const checkLevels = (most, length, isDefinition) => {
		if (!most) return;
		const size = length ?? view.getUint32(reader.offset, true);
		const start = reader.offset + (length === undefined ? 4 : 0);
		reader.offset = start;
		checkRuns(reader, start + size, widthOf(most), page.num_values);
		if (isDefinition && !v2) {
			const levels = new Array(page.num_values);
			readRleBitPackedHybrid({view, offset: start}, widthOf(most), levels, size);
			count = levels.filter(level => level === most).length;
		}
		reader.offset = start + size;
	};
	checkLevels(getMaxRepetitionLevel(schemaPath), v2?.repetition_levels_byte_length, false);
	checkLevels(getMaxDefinitionLevel(schemaPath), v2?.definition_levels_byte_length, true);
	if (v2) {
		count = page.num_values - v2.num_nulls;
		reader.offset = v2.repetition_levels_byte_length + v2.definition_levels_byte_length;
	}
	if (!count) return;
	const {encoding} = page;
	const isBoolean = type === "BOOLEAN";
	if (encoding === "RLE" && isBoolean) {
		reader.offset += 4;
		checkRuns(reader, view.byteLength, 1, count);
	} else if (encoding === "RLE" || (isBoolean && encoding !== "PLAIN"))
		throw new Error(`the encoding ${encoding} is not supported`);
	else if (encoding.endsWith("_DICTIONARY")) {
		const width = view.getUint8(reader.offset++);
		checkRuns(reader, view.byteLength, width, count);
	} else if (encoding === "DELTA_BYTE_ARRAY") checkPrefixes(reader, count);
	else if (encoding === "BYTE_STREAM_SPLIT" && type === "FIXED_LEN_BYTE_ARRAY")
		checkedCount(count * (element.type_length ?? 0), bytes.length, "bytes in values");
}
