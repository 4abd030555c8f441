#!/usr/bin/python3
"""`cmake --install` to a prefix, then a project of its own that finds microlift there, compiles an
ensemble of a user's system, and runs it; and the installed command.

usage: test_install.py BUILD_FOLDER CXX_COMPILER
"""
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
