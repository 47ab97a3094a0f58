"""A small server of media.yaml: it stores no more than a digest of what it receives."""

from __future__ import annotations

import hashlib
import http.server
import json
import re
from email import message_from_bytes

#: A body with more bytes is not kept.
LARGE = 2**20
PART = b"0123456789abcdef" * 4096


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    files: dict[str, bytes]
    received: list[dict[str, object]]

    def log_message(self, *arguments):
        pass

    def parts(self):
        """The body of the request, in parts."""
        if self.headers.get("Transfer-Encoding") == "chunked":
            while size := int(self.rfile.readline(), 16):
                yield self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return
        left = int(self.headers.get("Content-Length") or 0)
        while left:
            part = self.rfile.read(min(left, 65_536))
            left -= len(part)
            yield part

    def answer(self, status, content_type, parts, **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if content_type is None:
            self.end_headers()
            return
        self.send_header("Content-Type", content_type)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for part in parts:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
        self.wfile.write(b"0\r\n\r\n")

    def answer_json(self, status, document, **headers):
        self.answer(status, "application/json", [json.dumps(document).encode()], **headers)

    def do_PUT(self):
        name = self.path.rpartition("/")[2]
        digest, size, begin = hashlib.sha256(), 0, b""
        for part in self.parts():
            digest.update(part)
            size += len(part)
            begin = begin or part[:65_536]
        self.received.append(
            {
                "digest": digest.hexdigest(),
                "length": self.headers.get("Content-Length"),
                "type": self.headers.get("Content-Type"),
                "key": self.headers.get("Authorization"),
            }
        )
        if name == "forbidden":
            return self.answer_json(403, {"detail": "No."})
        is_new = name not in self.files
        self.files[name] = begin if size <= len(begin) else b""
        if is_new:
            return self.answer_json(201, {"location": self.path})
        return self.answer_json(200, {"size": size})

    def do_GET(self):
        path, _, query = self.path.partition("?")
        name = path.rpartition("/")[2]
        if path == "/points/":
            self.answer_points(int(query.partition("=")[2]))
        elif path == "/events/":
            self.answer(200, "text/event-stream; charset=utf-8", EVENTS)
        elif path == "/log/":
            self.answer(200, "text/event-stream", [b"data: one\ndata: two\n\ndata:three\n\n"])
        elif name.isdecimal():
            self.answer(200, "application/octet-stream", (PART for _ in range(int(name))))
        elif name not in self.files:
            self.answer_json(404, {"detail": "Not found."})
        else:
            self.answer_file(self.files[name])

    def answer_file(self, content):
        wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        if not wanted:
            return self.answer(200, "application/octet-stream", [content], ETag='"1"')
        first, last = map(int, wanted.groups())
        sizes = f"bytes {first}-{last}/{len(content)}"
        part = content[first : last + 1]
        return self.answer(206, "application/octet-stream", [part], Content_Range=sizes)

    def answer_points(self, count):
        if count < 0:
            return self.answer_json(400, {"detail": "count is negative"})
        if count == 13:
            lines = [b'{"kind": "circle"}\n']
        else:
            lines = (b'{"kind": "circle", "size": %d}\n' % number for number in range(count))
        return self.answer(200, "application/x-ndjson", cut(lines))

    def do_POST(self):
        if int(self.headers.get("Content-Length") or 0) > LARGE:
            # Not kept, and not parsed.
            self.answer_json(201, {"fields": [], "size": sum(map(len, self.parts()))})
            return
        body, kind = b"".join(self.parts()), self.headers["Content-Type"]
        if self.path == "/forms/":
            self.answer_form(body, kind)
        elif self.path == "/notes/":
            self.answer_note(body, kind)
        elif self.path == "/points/":
            self.answer_json(200, {"size": len(body.splitlines()), "type": kind})
        else:
            self.answer_json(200, json.loads(body))

    def answer_form(self, body, kind):
        form = message_from_bytes(b"Content-Type: %s\r\n\r\n%s" % (kind.encode(), body))
        fields = {
            part.get_param("name", header="content-disposition"): part.get_payload(decode=True)
            for part in form.get_payload()
        }
        self.received.append(fields)
        size = len(fields.get("content", b""))
        self.answer_json(201, {"fields": sorted(fields), "size": size})

    def answer_note(self, body, kind):
        self.received.append({"type": kind, "body": body})
        if not body:
            self.answer(204, None, [])
        elif self.headers["Accept"] == "application/json":
            self.answer_json(200, {"size": len(body)})
        else:
            self.answer(200, "text/plain; charset=utf-8", [body])


#: Cut where a decoder that looks at one part only goes wrong.
EVENTS = [
    b': a comment\n\nevent: drawn\nid: 7\nretry: 250\ndata: {"kind":',
    b' "box",\ndata: "size": 1}\r',
    b"\n\r\n",
    b'data: {"kind": "spiral", "turns": "\xe2\x82',
    b'\xac"}\n\ndata: {"kind": "circle", "size": 0}',
]


def cut(lines):
    """The same bytes in parts that end inside of lines."""
    rest = b""
    for line in lines:
        rest += line
        if len(rest) > 1000:
            yield rest[:-7]
            rest = rest[-7:]
    if rest:
        yield rest
