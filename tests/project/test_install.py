#!/usr/bin/python3
"""`cmake --install` to a prefix, then a project of its own that finds microlift there, compiles an
ensemble of a user's system, and runs it; the installed command, its manual page, completion, pages and
examples; and the Debian package, which has the same files.

usage: test_install.py BUILD_FOLDER CXX_COMPILER
"""
import gzip
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

BUILD, COMPILER = Path(sys.argv[1]), sys.argv[2]

CMAKE = """\
cmake_minimum_required(VERSION 3.25)
project(consumer LANGUAGES CXX)
find_package(microlift 0.1 REQUIRED)
add_executable(consumer main.cpp)
microlift_add_ops(consumer spring.ops.cpp)
target_link_libraries(consumer PRIVATE microlift::microlift)
"""

# A harmonic well V = k x²/2 under no bias: <x²> = 1/(β k).
OPS = """\
#include "kernels/dynamics/systems.h"
#include "sampling/dynamics/path_kernel.h"

namespace microlift {

struct Spring : ThermalNoise {
    static constexpr int dim = 1, n_observed = 0;
    static constexpr bool gradient = true;
    float k;
    template <class M, class L>
    LANE_FN void force(const L (&x)[1], L (&f)[1]) const {
        f[0] = broadcast<L>(-k) * x[0];
    }
    template <class M, class L>
    LANE_FN L potential(const L (&x)[1]) const {
        return broadcast<L>(0.5f * k) * x[0] * x[0];
    }
};

HOST_PASS_BEGIN
std::unique_ptr<PathKernel> spring_kernel(const PathSetup& setup) {
    return make_path_kernel(Spring{{static_cast<float>(std::sqrt(2 / setup.beta))}, 4.0f}, setup);
}
HOST_PASS_END

}  // namespace microlift
"""

MAIN = """\
#include <cstdio>

#include "kernels/random/streams.h"
#include "sampling/dynamics/ensemble.h"

namespace microlift {
std::unique_ptr<PathKernel> spring_kernel(const PathSetup& setup);
}
using namespace microlift;

int main() {
    constexpr long long n = 8192, segments = 4;
    PathSetup setup;
    setup.dt = 0.01;
    setup.beta = 2;
    setup.cv_weight = {{1.0}};
    const Device device = Device::pick("auto", 2);
    Stream stream(device);
    Ensemble ensemble(stream, spring_kernel(setup), n, 7, kStreamNoise);
    SampleSet samples(device, 1, 1, n * segments);
    ensemble.advance(300);
    ensemble.sample(300, segments, samples);
    ensemble.check_finite([](long long) { return std::string("of the test"); });
    std::vector<float> x(static_cast<std::size_t>(n * segments));
    copy_to_host<float>(stream, x.data(), samples.x.span());
    double square = 0;
    for (const float value : x) square += value * value;
    std::printf("%d %.6f\\n", static_cast<int>(samples.n), square / static_cast<double>(x.size()));
}
"""


def run(*command, **options):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, **options)
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout


def files(folder):
    """Without the folder of libraries, which a distribution may name by the processor."""
    paths = (p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    return {re.sub(r"^lib/[\w-]+-linux-gnu/", "lib/", path) for path in paths}


class Install(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = Path(tempfile.mkdtemp(prefix="microlift-install-"))
        cls.prefix = cls.folder / "prefix"
        run("cmake", "--install", BUILD, "--prefix", cls.prefix)

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)

    def test_consumer(self):
        source = self.folder / "consumer"
        source.mkdir()
        (source / "CMakeLists.txt").write_text(CMAKE)
        (source / "main.cpp").write_text(MAIN)
        (source / "spring.ops.cpp").write_text(OPS)
        run("cmake", "-GNinja", "-S", source, "-B", source / "build",
            f"-DCMAKE_PREFIX_PATH={self.prefix}", f"-DCMAKE_CXX_COMPILER={COMPILER}", "-DCMAKE_BUILD_TYPE=Release")
        built = run("cmake", "--build", source / "build")
        self.assertNotIn("warning", built)
        n, square = run(source / "build" / "consumer").split()
        self.assertEqual(4 * 8192, int(n))
        # 1/(βk) = 0.125; the samples, 3 time units apart at a rate of 4, are independent, so the
        # standard error of <x²> is 0.125 sqrt(2/32768) = 0.00098. Leimkuhler-Matthews adds no bias.
        self.assertLess(abs(float(square) - 0.125), 4 * 0.00098)

    def test_command(self):
        command = self.prefix / "bin" / "microlift"
        self.assertIn("0.1", run(command, "--version"))
        self.assertIn("muller_brown", run(command, "systems"))
        self.assertTrue((self.prefix / "share" / "doc" / "microlift" / "api" / "index.html").is_file())

    def test_examples_find_their_files(self):
        folder = self.prefix / "share" / "microlift" / "tools" / "examples"
        learned = folder / "muller_brown_learned.toml"  # it takes the coordinates that a run's samples taught
        examples = sorted(set(folder.glob("*.toml")) - {learned})
        self.assertGreater(len(examples), 20)
        for example in examples:
            checked = run(self.prefix / "bin" / "microlift", "check", example, cwd=self.folder)
            self.assertIn("seed = ", checked, example.name)
        page = folder.parent / "docs" / "running.md"
        for link in re.findall(r"\]\(((?!\w+:)[^)#]+\.(?:md|toml))", page.read_text(encoding="utf-8")):
            if "/bench/" in link or link.count("../") < 2:
                self.assertTrue((page.parent / link).is_file(), link)

    def test_manual_page_and_completion_have_every_option(self):
        page = self.prefix / "share" / "man" / "man1" / "microlift.1.gz"
        shell = self.prefix / "share" / "bash-completion" / "completions" / "microlift"
        manual = gzip.decompress(page.read_bytes()).decode().replace("\\-", "-")
        whole = run(self.prefix / "bin" / "microlift", "--help").partition("Subcommands:")[2]
        commands = re.findall(r"^  (\w+) ", whole, re.MULTILINE)
        self.assertGreater(len(commands), 8)
        for command in commands:
            text = run(self.prefix / "bin" / "microlift", command, "--help")
            options = set(re.findall(r"^  (?:-\w,)?(--[\w-]+)", text, re.MULTILINE))
            section = manual.partition(f".SS microlift {command}\n")[2].partition("\n.S")[0]
            self.assertEqual(options - {"--help"}, set(re.findall(r"\\fB(--[\w-]+)\\fR", section)), command)
            self.assertEqual(options, set(self.completed(shell, command, "--")), command)
        self.assertEqual(set(commands) | {"--help", "--version"}, set(self.completed(shell, "")))
        self.assertEqual(["umbrella.stiffness="], self.completed(shell, "run", "--set", "umbrella.sti"))
        self.assertEqual(["cuda"], self.completed(shell, "run", "--device", "cu"))
        self.assertEqual(["muller_brown", "muller_brown_bath"], self.completed(shell, "systems", "mu"))
        if shutil.which("man"):
            done = subprocess.run(["man", "--warnings", "-l", page], capture_output=True, text=True)
            self.assertEqual((0, ""), (done.returncode, done.stderr))

    def completed(self, shell, *words):
        """What bash offers for the last of the words."""
        program = self.prefix / "bin" / "microlift"
        script = ('source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); compopt() { :; }; _microlift; '
                  'printf "%s\n" "${COMPREPLY[@]}"')
        return run("bash", "-c", script, "bash", shell, program, *words).split()

    @unittest.skipUnless(shutil.which("dpkg-shlibdeps"), "no dpkg-dev")
    def test_package_has_the_same_files(self):
        run("cpack", "-G", "DEB", "--config", BUILD.resolve() / "CPackConfig.cmake", "-B", self.folder,
            "-D", "CPACK_DEBIAN_COMPRESSION_TYPE=gzip", cwd=self.folder)
        package, = self.folder.glob("*.deb")
        fields = dict(re.findall(r"^([\w-]+): (.*)", run("dpkg-deb", "-f", package), re.MULTILINE))
        version = run(self.prefix / "bin" / "microlift", "--version").split()[1]
        self.assertEqual(("microlift", version), (fields["Package"], fields["Version"]))
        for name in ("libc6", "libstdc++6", "libhdf5", "libpugixml"):
            self.assertIn(name, fields["Depends"])
        root = self.folder / "root"
        run("dpkg-deb", "-x", package, root)
        self.assertEqual(files(self.prefix), files(root / "usr"))
        self.assertIn("muller_brown", run(root / "usr" / "bin" / "microlift", "systems"))

    def test_every_header_that_a_header_includes_is_there(self):
        root = self.prefix / "include" / "microlift"
        headers = [p for p in root.rglob("*") if p.suffix in (".h", ".cuh")]
        self.assertGreater(len(headers), 30)
        for header in headers:
            for line in header.read_text(encoding="utf-8").splitlines():
                if line.startswith('#include "'):
                    self.assertTrue((root / line.split('"')[1]).exists(), f"{header.name}: {line}")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
