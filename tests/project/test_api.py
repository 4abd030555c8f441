#!/usr/bin/python3
"""The C++ library's public headers: classes and functions have comments, arrays have shapes, pages are made of them."""
import re
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(SOURCE / "tools" / "docs"))
import api  # noqa: E402

EXAMPLE = """\
#pragma once
// The head of the file: a struct has told(x).

namespace microlift {

// Of three: how many, and a pointer.
int count();
int (*pointer)(double) = nullptr;

int bare(float* x);

class First {
public:
    First(int a, int b) : a_{a}, b_(b) {}
    void told() const {}
    // x (n).
    void known(const float* x, const Map& map = {}) { for (;;) { use("} // {"); } }

    double value() const { return a_; }  // as it was given
    std::array<int, 2> sizes{1, 1};  // of both

private:
    void hidden();
    int a_, b_;
};

template <class T>
struct Second {
    enum class Kind { one, two };
};

}  // namespace microlift
"""


class Headers(unittest.TestCase):
    def test_every_public_class_and_function_has_a_comment_and_arrays_a_shape(self):
        self.assertEqual([], api.missing())

    def test_what_programs_of_the_pages_include_is_public(self):
        public = {h for _, paths in api.CHAPTERS.values() for h in paths.split()}
        text = (SOURCE / "tools/docs/cpp.md").read_text(encoding="utf-8")
        included = set(re.findall(r'#include "((?:kernels|engine|nn|sampling)/[^"]+)"', text))
        self.assertGreater(len(included), 8)
        self.assertEqual(set(), included - public)

    def test_the_reader_of_headers(self):
        with tempfile.TemporaryDirectory() as folder:
            self.addCleanup(setattr, api, "SOURCE", api.SOURCE)
            api.SOURCE = Path(folder)
            (api.SOURCE / "example.h").write_text(EXAMPLE, encoding="utf-8")
            header = api.Header("example.h")
        said = {name: text.strip() for _, name, text in api.documented(header)}
        head = "The head of the file: a struct has told(x)."
        self.assertEqual({"count", "bare", "First", "First::told", "First::known", "First::value", "Second",
                          "Second::Kind"}, set(said))
        self.assertEqual({"bare", "Second", "Second::Kind"}, {name for name, text in said.items() if not text})
        self.assertTrue(said["count"].startswith("Of three") and said["First"].startswith(head))
        self.assertTrue(said["First::value"].startswith("as it was given"))
        first = next(i for i in header.items if i.name == "First")
        self.assertEqual(["First", "told", "known", "value", "sizes"], [m.name for m in first.members])
        last = first.members[-1]
        self.assertEqual(("std::array<int, 2> sizes{1, 1}", "of both"), (last.text, last.about))

    def test_pages(self):
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run([sys.executable, SOURCE / "tools/docs/api.py", folder], check=True)
            pages = {p.name: p.read_text(encoding="utf-8") for p in Path(folder).glob("*.html")}
        self.assertEqual({f"{c}.html" for c in api.CHAPTERS} | {"index.html"}, set(pages))
        for name, text in pages.items():
            for file, anchor in re.findall(r'href="([^"#]*)#?([^"]*)"', text):
                self.assertIn(file, pages, name)
                if anchor:
                    self.assertIn(f'id="{anchor}"', pages[file], name)
        self.assertIn('id="Ensemble::advance"', pages["dynamics.html"])


if __name__ == "__main__":
    unittest.main(verbosity=2)
