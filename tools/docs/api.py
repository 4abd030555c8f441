#!/usr/bin/python3
"""Reference pages of the C++ library, made from the comments of its headers: DIR/index.html and a page a chapter.

    api.py DIR            writes the pages
    api.py --missing      lists the public classes and functions without a comment, or whose arrays have no shape

A comment belongs to the declaration below it and to those that follow without a blank line, or to what stands before
it on its line; the comment at the head of a file to its first class, where that has none.
"""
import html
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[2]
# What programs include; everything else may change without a word.
CHAPTERS = {
    "device": ("Devices, memory, launches", """
        engine/device/device.h engine/device/stream.h engine/device/buffer.h engine/device/cpu.h
        engine/launch/lanes.h engine/launch/reduce.h engine/launch/sort.h engine/launch/gather.h"""),
    "work": ("Errors, progress, files", """
        engine/error.h engine/progress.h engine/stop.h engine/files/array_file.h engine/files/store.h"""),
    "kernels": ("What kernels are written with", """
        kernels/random/philox.h kernels/random/streams.h kernels/dynamics/systems.h kernels/dynamics/cv.h
        kernels/dynamics/bias.h kernels/dynamics/grid_bias.h kernels/dynamics/integrators.h"""),
    "dynamics": ("Systems and ensembles", """
        sampling/formula/formula.h sampling/formula/system.h sampling/dynamics/systems.h sampling/dynamics/schemes.h
        sampling/dynamics/path_kernel.h sampling/dynamics/bytecode_path.h sampling/dynamics/ensemble.h
        sampling/model/model_config.h sampling/model/model.h sampling/model/exact.h"""),
    "molecules": ("Molecules", """
        sampling/molecule/molecule.h sampling/molecule/files/read_molecule.h sampling/molecule/files/trajectory.h
        sampling/molecule/forces.h"""),
    "bias": ("Biases", """
        sampling/bias/windows.h sampling/bias/method.h sampling/bias/methods.h sampling/bias/table.h
        sampling/bias/shared_grid.h sampling/bias/energy.h sampling/bias/exchange.h"""),
    "estimate": ("Samples and estimates", """
        sampling/samples/sample_set.h sampling/samples/samples_file.h sampling/samples/given_samples.h
        sampling/numerics/grid.h sampling/numerics/statistics.h sampling/estimate/result.h
        sampling/estimate/free_energy.h sampling/estimate/conditional.h"""),
    "lift": ("Generators and lifting", """
        nn/train/trainer.h nn/generators/registry.h nn/generators/generator.h sampling/lift/lifting.h
        sampling/lift/proposals.h"""),
    "closure": ("Reduced models, passages, rates, learned coordinates", """
        sampling/closure/reduced.h sampling/closure/bursts.h sampling/closure/first_passage.h
        sampling/rates/method.h sampling/rates/methods.h sampling/learn/diffusion_map.h"""),
    "run": ("Whole runs", "sampling/run/config/run_config.h sampling/run/pipeline.h sampling/run/evaluate.h"),
}
TOKEN = re.compile(r'//[^\n]*|R"(\w*)\(.*?\)\1"|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])+\'|#(?:[^\n\\]|\\.|\\\n)*'
                   r"|[{};]|\n|[^\S\n]+|[^\s{};/\"'#]+|.", re.DOTALL)
MACROS = re.compile(r"\b(HOST_PASS_BEGIN|HOST_PASS_END|LANE_UNROLL)\b\s*")
CLASS = re.compile(r"(?:template ?<>)? ?(?:class|struct|union) (\w+)")
NO_DECLARATION = re.compile(r"^(friend|static_assert|extern template|template ?<> ?$|using namespace|typedef)\b"
                            r"|= (default|delete)$|^(template ?<.*> ?)?(class|struct|enum class|enum|union) \w+( : \w+)?$")
BRACKETS = re.compile(r"\b(?:alignas|decltype|noexcept|requires|__\w+__) ?\((?:[^()]|\([^()]*\))*\)")


@dataclass
class Item:
    kind: str   # class, enum, function, value, alias
    name: str
    text: str   # the declaration
    about: str  # its comment,
    group: str  # or that of the declarations right above
    line: int
    end: int = 0
    members: list = field(default_factory=list)


@dataclass
class Statement:
    """What was read of a declaration, and the comments about it."""
    text: str = ""
    line: int = 0
    comment: list = field(default_factory=list)
    inner: list = field(default_factory=list)   # comments within it
    group: str = ""                             # the comment of the declarations right above
    round_brackets: int = 0

    def about(self):
        return words(self.comment) or words(self.inner)

    def ended(self):
        return Statement(group=words(self.comment) or self.group)

    def item(self, kind, name, text, end=0):
        return Item(kind, name, text, self.about(), "" if self.comment else self.group, self.line, end)


def words(comments):
    return "\n".join(re.sub(r"^//+ ?", "", c.strip()) for c in comments).strip()


def without_angles(text):
    """Without what stands between < and >."""
    before = None
    while before != text:
        before, text = text, re.sub(r"<[^<>]*>", "", text)
    return text


class Header:
    """The public declarations of a header."""

    def __init__(self, path):
        text = (SOURCE / path).read_text(encoding="utf-8")
        self.path, self.items, self.tokens, self.at = path, [], [], 0
        line, start = 1, 0
        for found in TOKEN.finditer(text):
            self.tokens.append((found[0], line, found.start() - start))
            line += found[0].count("\n")
            if "\n" in found[0]:
                start = found.end()
        head = re.match(r"(?:#pragma once\n)?((?://[^\n]*\n)+)", text)
        self.about = words(head[1].splitlines()) if head else ""
        self.scope(self.items, None, True)
        classes = [i for i in self.items if i.kind == "class"]
        if classes and not classes[0].about:
            classes[0].about = self.about

    def next(self):
        self.at += 1
        return self.tokens[self.at - 1]

    def scope(self, items, owner, public):
        """Declarations up to the closing brace."""
        now, newlines, trailing = Statement(), 0, -1
        while self.at < len(self.tokens):
            token, line, column = self.next()
            if token == "\n":
                newlines += 1
                if newlines > 1 and not now.text:
                    now, trailing = Statement(), -1
            elif token.isspace():
                pass
            elif token.startswith("//"):
                self.comment(token, line, column, now, items, newlines, trailing)
                if newlines == 0 and not now.text and items and items[-1].end == line:
                    trailing = column
                newlines = 0
                continue
            elif token.startswith("#"):
                self.condition(token)
            elif token == "}" and now.round_brackets == 0:
                return
            elif token == ";" and now.round_brackets == 0:
                self.declaration(now, items if public else [], line)
                now, newlines, trailing = now.ended(), 0, -1
                continue
            elif token == "{" and now.round_brackets == 0:
                if self.braces(now, items if public else [], owner):
                    now, trailing = now.ended(), -1
                newlines = 0
                continue
            elif owner and not now.text and token in ("public:", "private:", "protected:"):
                public, now = token == "public:", Statement()
            else:
                now.line = now.line or line
                now.text += token
                now.round_brackets += sum(token.count(c) for c in "([") - sum(token.count(c) for c in ")]")
            if token.isspace():
                now.text += " " if now.text else ""
            else:
                newlines = 0

    def comment(self, token, line, column, now, items, newlines, trailing):
        last = items[-1] if items else None
        if now.text:
            now.inner.append(token)
        elif newlines == 0 and last and last.end == line:
            last.about = f"{last.about}\n{words([token])}".strip()
        elif column == trailing and last:
            last.about += "\n" + words([token])   # it goes on below
        else:
            now.comment.append(token)

    def condition(self, token):
        """Leaves out what only the CUDA pass sees."""
        if re.match(r"#\s*if.*\bdefined\(__CUDACC__\)", token) and "!defined(__CUDACC__)" not in token:
            depth = 1
            while depth:
                token = self.next()[0]
                if token.startswith("#"):
                    depth += bool(re.match(r"#\s*if", token)) - bool(re.match(r"#\s*endif", token))
                    if depth == 1 and re.match(r"#\s*else", token):
                        return

    def braces(self, now, items, owner):
        """What follows a {; whether the declaration ends with it."""
        text = " ".join(MACROS.sub("", now.text).split())
        plain = without_angles(BRACKETS.sub("", text))
        found = CLASS.match(plain.replace("template ", "").strip())
        if text.startswith("namespace") or text.startswith('extern "C"'):
            self.scope(items if text != "namespace" else [], owner, True)
            now.text = ""
            return True
        if found and "(" not in plain and not plain.endswith("="):
            item = now.item("class", found[1], text)
            self.scope(item.members, item.name, not re.search(r"\bclass\b", plain))
            self.after_class(item, items)
            now.comment, now.group = [], ""
            return True
        if re.match(r"enum\b", plain):
            inside = self.skip()
            item = now.item("enum", plain.split(":")[0].split()[-1], f"{text} {{{inside}}}")
            self.after_class(item, items)
            return True
        value = "(" not in plain or plain.endswith("=") or re.search(r"\)[^()]*:[^:].*\w$", plain)
        inside = self.skip()
        if value:   # of a variable, or of a member in a constructor
            now.text += f"{{{inside}}}"
            return False
        self.declaration(now, items, self.tokens[self.at - 1][1])
        return True

    def after_class(self, item, items):
        while self.tokens[self.at][0] != ";":
            self.at += 1
        item.end = self.next()[1]
        items.append(item)

    def skip(self):
        """To the closing brace, which it takes."""
        depth, inside = 1, ""
        while depth:
            token = self.next()[0]
            depth += (token == "{") - (token == "}")
            inside += token if depth else ""
        return inside

    def declaration(self, now, items, end):
        text = " ".join(MACROS.sub("", now.text).split())
        if not text or NO_DECLARATION.search(text):
            return
        kind, name = "value", text
        plain = BRACKETS.sub("", text.replace("operator()", "operator"))
        function = re.search(r"(~?\w+|operator ?\S*) ?\(", plain)
        before = plain[:plain.find("(")]
        if text.startswith("using "):
            kind, name = "alias", text.split()[1]
        elif found := re.search(r"\(\*(\w+)\)\(", plain):   # a pointer to a function
            name = found[1]
        elif function and ("=" not in before or "operator" in before) and not re.search(r"<[^>]*$", before):
            kind, name = "function", function[1]
            text = re.sub(r"\) ?:[^:].*$", ")", text)   # without a constructor's members
        else:
            name = re.search(r"(\w+)(?:\[[^\]]*\])*\s*(?:[={,].*)?$", without_angles(re.sub(r"\{.*\}$", "", text)))
            name = name[1] if name else text
        items.append(now.item(kind, name, text, end))


def documented(header):
    """(item, its qualified name, all that is said about it) of what has to have a comment."""
    def walk(items, path, above):
        for item in items:
            special = item.name in path[-1:] or item.name.startswith(("~", "operator")) or " override" in item.text
            # "force<M>(x, f)": the head of a file says what a struct has.
            said = item.about or item.group or re.search(rf"\b{item.name}[<(]", header.about)
            if item.kind in ("class", "enum") or item.kind == "function" and not special:
                yield item, "::".join([*path, item.name]), f"{item.about}\n{item.group}\n{above}" if said else ""
            yield from walk(item.members, [*path, item.name], f"{item.about}\n{item.group}\n{above}")
    return walk(header.items, [], header.about)


def headers():
    return {name: [Header(p) for p in paths.split()] for name, (_, paths) in CHAPTERS.items()}


ARRAYS = re.compile(r"Span<(const )?(float|double|T)>|\b(float|double|T) ?\*|vector<(float|double)>")
PART = r"[\w₀₁·().+−* -]{1,30}"
SHAPE = re.compile(rf"\({PART}(, {PART}|\[, {PART}\])+\)|\(\w{{1,12}}\)|\w\[[^\]]+\]|\bbytes\b"
                   r"|\bby (bin|rows?|column|variable|trajectory|window)\b")


def missing():
    """What lacks a comment, and functions of arrays where nothing says how these lie."""
    found = []
    for header in (h for several in headers().values() for h in several):
        for item, name, said in documented(header):
            place = f"{header.path}:{item.line}: {name}"
            if not said:
                found.append(f"{place}: no comment")
            elif item.kind == "function" and ARRAYS.search(item.text) and not SHAPE.search(said):
                found.append(f"{place}: nothing says the shape of its arrays")
    return found


STYLE = """body{font:15px/1.5 sans-serif;max-width:60em;margin:2em auto;padding:0 1em;color:#222}
pre{background:#f4f4f2;padding:.3em .8em;white-space:pre-wrap;margin:.2em 0}hr{border:0;margin:.7em 0}
h2{border-top:1px solid #ccc;padding-top:.6em}
.in{margin-left:1.5em}p{margin:.2em 0}td{vertical-align:top;padding:.1em 1em .1em 0}code{background:#f4f4f2}"""


def page(title, body):
    return (f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
            f"<style>{STYLE}</style></head>\n<body>\n<h1>{html.escape(title)}</h1>\n{body}</body></html>\n")


def prose(text):
    return "".join(f"<p>{html.escape(' '.join(part.split()))}</p>\n" for part in re.split(r"\n\s*\n", text) if part)


def shown(items, path):
    """The declarations of a scope, in order."""
    lines = []
    for item in items:
        if item.name.startswith("~") or not path and item.kind == "value" and not item.about:
            continue
        name = "::".join([*path, item.name])
        text = item.text + (" { … }" if item.kind == "class" else "")
        if item.kind == "value" and item.about:
            text, item.about = f"{text};  // {' '.join(item.about.split())}", ""
        pre = f'<pre id="{html.escape(name)}">{html.escape(text)}</pre>\n'
        lines.append(pre + prose(item.about) if item.group or item.kind == "value" else f"<hr>{prose(item.about)}{pre}")
        if item.members:
            lines.append(f'<div class="in">{shown(item.members, [*path, item.name])}</div>\n')
    return "".join(lines)


def write(folder):
    folder.mkdir(parents=True, exist_ok=True)
    rows, names = [], []
    for chapter, found in headers().items():
        title, body = CHAPTERS[chapter][0], '<p><a href="index.html">All pages</a></p>\n'
        for header in found:
            body += (f'<h2 id="{header.path}"><code>#include "{header.path}"</code></h2>\n{prose(header.about)}'
                     f"{shown(header.items, [])}")
            names += [(name, chapter) for item, name, _ in documented(header)
                      if item.kind == "class" or "::" not in name]
        (folder / f"{chapter}.html").write_text(page(title, body), encoding="utf-8")
        links = ", ".join(f'<a href="{chapter}.html#{h.path}">{h.path}</a>' for h in found)
        rows.append(f'<tr><td><a href="{chapter}.html">{html.escape(title)}</a></td><td>{links}</td></tr>\n')
    index = ", ".join(f'<a href="{chapter}.html#{html.escape(name)}">{html.escape(name)}</a>' for name, chapter in
                      sorted(set(names), key=lambda n: n[0].lower()))
    (folder / "index.html").write_text(page("microlift in C++", f"<table>\n{''.join(rows)}</table>\n<h2>Names</h2>\n"
                                            f"<p>{index}</p>\n"), encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1:] == ["--missing"]:
        print(*missing(), sep="\n")
    elif len(sys.argv) == 2:
        write(Path(sys.argv[1]))
    else:
        sys.exit(__doc__)
