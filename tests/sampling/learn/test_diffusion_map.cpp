// Diffusion maps against exact eigenvalues and functions.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <vector>

#include "engine/at.h"
#include "engine/error.h"
#include "kernels/random/philox.h"
#include "kernels/random/streams.h"
#include "sampling/learn/diffusion_map.h"
#include "tests/support/devices.h"

namespace microlift {
namespace {

constexpr double kPi = 3.14159265358979323846;

// Points on a device, from x[d * n + i].
struct Points {
    Points(const Device& device, const std::vector<double>& x, int dim)
        : stream(device), data(device, static_cast<index>(x.size())) {
        const std::vector<float> f(x.begin(), x.end());
        copy_to_device(stream, data.span(), f.data());
        const index n = static_cast<index>(x.size()) / dim;
        set = {data.span(), n, n, dim, {}};
    }
    Stream stream;
    Buffer<float> data;
    PointSet set;
};

// Independent uniform numbers.
double uniform(index i, index draw) {
    const PhiloxStream<float> rng(7, kStreamTest, i);
    uint32 u[4];
    rng.draw(static_cast<uint64>(draw), u);
    return (static_cast<double>(u[0]) + 0.5) / 4294967296.0;
}

double normal(index i, index draw) {
    const PhiloxStream<float> rng(11, kStreamTest, i);
    float z[4];
    normal_block<Portable>(rng, static_cast<uint64>(draw), z);
    return static_cast<double>(z[0]);
}

// Of f in the span of the columns: the root of the share of its square that is left out; weights p.
double left_out(const std::vector<std::vector<double>>& columns, const std::vector<double>& f,
                const std::vector<double>& p) {
    const int m = static_cast<int>(columns.size());
    std::vector<double> g(at(m * m), 0.0);
    std::vector<double> b(at(m), 0.0);
    double ff = 0;
    for (std::size_t i = 0; i < f.size(); ++i) {
        ff += p[i] * f[i] * f[i];
        for (int r = 0; r < m; ++r) {
            b[at(r)] += p[i] * columns[at(r)][i] * f[i];
            for (int c = 0; c < m; ++c)
                g[at(r * m + c)] += p[i] * columns[at(r)][i] * columns[at(c)][i];
        }
    }
    const DenseEigen e = eigen_symmetric(m, g);
    double inside = 0;
    for (int k = 0; k < m; ++k) {
        double projection = 0;
        for (int r = 0; r < m; ++r) projection += e.vectors[at(k * m + r)] * b[at(r)];
        inside += projection * projection / e.values[at(k)];
    }
    return std::sqrt(std::max(0.0, 1 - inside / ff));
}

std::vector<double> function_of(const DiffusionMap& map, int k) {
    return {map.function(k), map.function(k) + map.n};
}

// Of f off the samples, what Nyström's extension of coordinates `first` … `last` misses, by the same
// combination of them that fits f at the samples x: RMS over that of f. f takes a point's variables.
double missed_between(Points& points, const std::vector<double>& x, const DiffusionMap& map,
                      const std::vector<double>& query, int first, int last,
                      const std::function<double(const double*)>& f) {
    const int dim = points.set.dim, m = last - first + 1;
    const index n = map.n, queries = static_cast<index>(query.size()) / dim;
    const auto value = [&](const std::vector<double>& from, index count, index i) {
        double p[4];
        for (int d = 0; d < dim; ++d) p[d] = from[at(d * count + i)];
        return f(p);
    };
    std::vector<double> normal(at(m * m), 0.0), fitted(at(m), 0.0);
    for (index i = 0; i < n; ++i)
        for (int a = 0; a < m; ++a) {
            const double p = map.stationary[at(i)] * map.function(first + a)[i];
            fitted[at(a)] += p * value(x, n, i);
            for (int b = 0; b < m; ++b) normal[at(a * m + b)] += p * map.function(first + b)[i];
        }
    REQUIRE(solve_positive(m, normal, fitted));
    Points at_query(points.stream.device(), query, dim);
    Buffer<float> values(points.stream.device(), last * queries);
    nystrom(points.stream, points.set, map, at_query.data.span(), queries, queries, last,
            values.span(), queries);
    const std::vector<float> v = to_host(points.stream, Span<const float>(values.span()));
    double missed = 0, size = 0;
    for (index i = 0; i < queries; ++i) {
        const double exact = value(query, queries, i);
        double d = -exact;
        for (int a = 0; a < m; ++a)
            d += fitted[at(a)] * static_cast<double>(v[at((first + a - 1) * queries + i)]);
        missed += d * d;
        size += exact * exact;
    }
    return std::sqrt(missed / size);
}

// I_k(z)/I_0(z), by the quadrature of its integral.
double bessel_ratio(int k, double z) {
    double top = 0, bottom = 0;
    constexpr int kNodes = 4096;
    for (int i = 0; i < kNodes; ++i) {
        const double t = kPi * (i + 0.5) / kNodes, e = std::exp(z * (std::cos(t) - 1));
        top += e * std::cos(k * t);
        bottom += e;
    }
    return top / bottom;
}

TEST_CASE("small symmetric eigenproblems") {
    constexpr int n = 40;
    std::vector<double> a(at(n * n));
    for (int i = 0; i < n; ++i)
        for (int j = 0; j < n; ++j) a[at(i * n + j)] = 1.0 / (1 + i + j) + (i == j ? 0.1 * i : 0);
    const DenseEigen e = eigen_symmetric(n, a);
    for (int k = 0; k < n; ++k) {
        if (k > 0) CHECK(e.values[at(k - 1)] >= e.values[at(k)]);
        for (int i = 0; i < n; ++i) {
            double av = 0;
            for (int j = 0; j < n; ++j) av += a[at(i * n + j)] * e.vectors[at(k * n + j)];
            CHECK(av == doctest::Approx(e.values[at(k)] * e.vectors[at(k * n + i)]).epsilon(1e-10));
        }
    }
}

TEST_CASE("diffusion map of the unit circle") {
    for (const Device& device : test_devices()) {
        constexpr index n = 1500;
        std::vector<double> x(at(2 * n)), angle;
        for (index i = 0; i < n; ++i) {
            // Jittered: one point in each arc, so that the circle is filled evenly but not exactly.
            angle.push_back(2 * kPi * (static_cast<double>(i) + uniform(i, 0)) / n);
            x[at(i)] = std::cos(angle.back());
            x[at(n + i)] = std::sin(angle.back());
        }
        Points points(device, x, 2);
        for (const double alpha : {0.0, 0.5, 1.0}) {
            DiffusionMapOptions options;
            options.alpha = alpha;
            options.epsilon = 0.05;
            options.coordinates = 8;
            const DiffusionMap map = diffusion_map(points.stream, points.set, {}, options);
            CHECK(map.warnings.empty());
            for (int k = 1; k <= 4; ++k) {
                const double exact = bessel_ratio(k, 0.5 / options.epsilon);
                CHECK(std::abs(map.eigenvalues[at(2 * k - 1)] / exact - 1) < 0.02);
                CHECK(std::abs(map.eigenvalues[at(2 * k)] / exact - 1) < 0.02);
                std::vector<double> c, s;
                for (const double t : angle) {
                    c.push_back(std::cos(k * t));
                    s.push_back(std::sin(k * t));
                }
                const auto pair = {function_of(map, 2 * k - 1), function_of(map, 2 * k)};
                CHECK(left_out(pair, c, map.stationary) < 0.02);
                CHECK(left_out(pair, s, map.stationary) < 0.02);
                std::vector<double> between(at(2 * 211));
                for (index i = 0; i < 211; ++i) {
                    between[at(i)] = std::cos(2 * kPi * static_cast<double>(i) / 211);
                    between[at(211 + i)] = std::sin(2 * kPi * static_cast<double>(i) / 211);
                }
                CHECK(missed_between(points, x, map, between, 2 * k - 1, 2 * k,
                                     [k](const double* p) {
                                         return std::cos(k * std::atan2(p[1], p[0]));
                                     }) < 0.02);
            }
            // cos 2θ, … are functions of cos θ and sin θ.
            CHECK(map.independent == std::vector<int>{1, 2});
        }
    }
}

TEST_CASE("diffusion map of a normal law: Hermite functions, and Nystroem off the samples") {
    for (const Device& device : quick_devices()) {
        // The quantiles, so that no sampling error hides an error of the method; weighted where the
        // law of the points is another one.
        for (const bool weighted : {false, true}) {
            constexpr index n = 3000;
            std::vector<double> x, weights;
            for (index i = 0; i < n; ++i) {
                const double u = (static_cast<double>(i) + 0.5) / n;
                if (weighted) {
                    x.push_back(12 * u - 6);
                    weights.push_back(std::exp(-0.5 * x.back() * x.back()));
                } else {
                    // Newton on the distribution function.
                    double z = 0;
                    for (int it = 0; it < 60; ++it) {
                        const double f = 0.5 * std::erfc(-z / std::sqrt(2.0)) - u;
                        z -= std::clamp(f * std::sqrt(2 * kPi) * std::exp(0.5 * z * z), -0.5, 0.5);
                    }
                    x.push_back(z);
                }
            }
            Points points(device, x, 1);
            for (const double alpha : {0.0, 0.5, 1.0}) {
                // With α = 1 the density is divided out: a light tail of samples ends the line, so
                // only the weighted, wide grid shows it.
                if (alpha == 1.0 && !weighted) continue;
                const double epsilon = alpha == 1.0 ? 0.5 : 0.1;
                DiffusionMapOptions options;
                options.alpha = alpha;
                options.epsilon = epsilon;
                options.coordinates = 5;
                const DiffusionMap map = diffusion_map(points.stream, points.set, weights, options);
                const double ratio = 1 / (1 + 2 * epsilon * (1 - alpha / (1 + 2 * epsilon)));
                // An autoregression with this coefficient and noise 2ε·ratio: its variance scales
                // the Hermite functions.
                const double sigma = std::sqrt(2 * epsilon * ratio / (1 - ratio * ratio));
                CAPTURE(alpha);
                CAPTURE(weighted);
                // 3000 quantiles end at 3.4 deviations: higher functions feel that.
                const int most = weighted ? 4 : alpha == 0 ? 3 : 2;
                const auto hermite = [sigma](int k, double z) {
                    z /= sigma;
                    switch (k) {
                        case 1: return z;
                        case 2: return (z * z - 1) / std::sqrt(2.0);
                        case 3: return (z * z * z - 3 * z) / std::sqrt(6.0);
                        default: return (z * z * z * z - 6 * z * z + 3) / std::sqrt(24.0);
                    }
                };
                for (int k = 1; k <= most; ++k) {
                    CAPTURE(k);
                    CHECK(std::abs(map.eigenvalues[at(k)] / std::pow(ratio, k) - 1) < 0.02);
                    std::vector<double> f;
                    for (const double z : x) f.push_back(hermite(k, z));
                    CHECK(left_out({function_of(map, k)}, f, map.stationary) < 0.02);
                }
                // Between the samples, within two deviations: 2 % of each function's size.
                constexpr index kQueries = 401;
                std::vector<double> q;
                for (index i = 0; i < kQueries; ++i)
                    q.push_back(2 * sigma * (2 * static_cast<double>(i) / (kQueries - 1) - 1) +
                                1e-4);
                Points query(device, q, 1);
                Buffer<float> values(device, 2 * kQueries);
                nystrom(points.stream, points.set, map, query.data.span(), kQueries, kQueries, 2,
                        values.span(), kQueries);
                const std::vector<float> v =
                    to_host(points.stream, Span<const float>(values.span()));
                for (int k = 1; k <= 2; ++k) {
                    double missed = 0, size = 0;
                    const double sign =
                        static_cast<double>(v[at(k * kQueries - 1)]) * hermite(k, q.back()) > 0
                            ? 1
                            : -1;
                    for (index i = 0; i < kQueries; ++i) {
                        const double exact = sign * hermite(k, q[at(i)]);
                        const double d = static_cast<double>(v[at((k - 1) * kQueries + i)]) - exact;
                        missed += d * d;
                        size += exact * exact;
                    }
                    CHECK(std::sqrt(missed / size) < 0.02);
                }
            }
        }
    }
}

TEST_CASE("diffusion map of an interval: cosines; dense, stored and neighbours agree") {
    for (const Device& device : quick_devices()) {
        constexpr index n = 4000;
        constexpr double kLength = 3;
        std::vector<double> x;
        for (index i = 0; i < n; ++i) x.push_back(kLength * (static_cast<double>(i) + 0.5) / n);
        Points points(device, x, 1);
        DiffusionMapOptions options;
        options.alpha = 1;
        options.epsilon = 5e-5;
        options.coordinates = 5;
        const DiffusionMap map = diffusion_map(points.stream, points.set, {}, options);
        for (int k = 1; k <= 4; ++k) {  // the boundary's error grows like k √ε / L
            std::vector<double> f;
            for (const double z : x) f.push_back(std::cos(kPi * k * z / kLength));
            CHECK(left_out({function_of(map, k)}, f, map.stationary) < 0.02);
            // λ = exp(−ε (πk/L)²) to leading order; a boundary of width √ε adds to L.
            CHECK(map.rate(k) == doctest::Approx(std::pow(kPi * k / kLength, 2)).epsilon(0.02));
            std::vector<double> between;
            for (int i = 0; i < 307; ++i) between.push_back(kLength * (i + 0.5) / 307);
            CHECK(missed_between(points, x, map, between, k, k, [k](const double* p) {
                      return std::cos(kPi * k * *p / kLength);
                  }) < 0.02);
        }
        CHECK(map.independent == std::vector<int>{1});

        options.neighbours = 120;  // reach 0.045 = 4.5 √(2ε)
        const DiffusionMap sparse = diffusion_map(points.stream, points.set, {}, options);
        for (int k = 1; k <= 4; ++k) {
            CHECK(std::abs(sparse.eigenvalues[at(k)] / map.eigenvalues[at(k)] - 1) < 1e-3);
            CHECK(left_out({function_of(sparse, k)}, function_of(map, k), map.stationary) < 0.02);
        }
    }
}

namespace {

// What the products of one set of points are on every machine, by every form, against sums by hand.
void check_products(int dim, bool with_metric) {
    constexpr index n = 333;
    const auto d_of = [dim](int d, index i) { return at(d * n + i); };
    std::vector<double> x;
    for (index i = 0; i < dim * n; ++i) x.push_back(normal(i, 0));
    std::vector<float> v(at(n * kEigenBlock));
    for (std::size_t i = 0; i < v.size(); ++i)
        v[i] = static_cast<float>(normal(static_cast<index>(i), 1));
    std::vector<float> metric(at(dim * (dim + 1) / 2 * n));
    for (index i = 0; i < n; ++i)
        for (int a = 0, e = 0; a < dim; ++a)
            for (int b = a; b < dim; ++b, ++e)
                metric[at(e * n + i)] =
                    a == b ? 1.0f + 0.5f * static_cast<float>(uniform(i, 5 + a)) : 0.05f;
    const double epsilon = 2.0;
    const auto exact = [&](index i, int column, double& size) {
        double sum = 0;
        size = 0;
        for (index j = 0; j < n; ++j) {
            double d2 = 0;
            for (int a = 0, e = 0; a < dim; ++a)
                for (int c = a; c < dim; ++c, ++e) {
                    const auto f = [&](int d) {
                        return static_cast<double>(static_cast<float>(x[d_of(d, i)])) -
                               static_cast<double>(static_cast<float>(x[d_of(d, j)]));
                    };
                    if (with_metric)
                        d2 += (a == c ? 0.5 : 1.0) * f(a) * f(c) *
                              (static_cast<double>(metric[at(e * n + i)]) +
                               static_cast<double>(metric[at(e * n + j)]));
                    else if (a == c)
                        d2 += f(a) * f(a);
                }
            const double term =
                std::exp(-0.25 / epsilon * d2) * static_cast<double>(v[at(j * kEigenBlock + column)]);
            sum += term;
            size += std::abs(term);
        }
        return sum;
    };
    std::vector<std::vector<float>> first;
    std::vector<Device> machines{Device::cpu(1)};
    for (const Device& device : test_devices()) machines.push_back(device);
    for (const Device& device : machines) {
        CAPTURE(device.description());
        Points p(device, x, dim);
        Buffer<float> in(device, n * kEigenBlock), out(device, n * kEigenBlock),
            m(device, static_cast<index>(metric.size())), one_in(device, n), one_out(device, n);
        copy_to_device(p.stream, in.span(), v.data());
        copy_to_device(p.stream, m.span(), metric.data());
        std::vector<float> column;
        for (index j = 0; j < n; ++j) column.push_back(v[at(j * kEigenBlock + 3)]);
        copy_to_device(p.stream, one_in.span(), column.data());
        PointSet set = p.set;
        if (with_metric) set.metric = m.span();
        Buffer<float> bandwidths(device, 2), sums(device, 2 * n);
        const float two_epsilons[] = {8, static_cast<float>(epsilon)};
        copy_to_device(p.stream, bandwidths.span(), two_epsilons);
        kernel_sums(p.stream, set, one_in.span(), bandwidths.span(), sums.span());
        const auto summed = to_host(p.stream, Span<const float>(sums.span()));
        for (const index i : {index{0}, index{17}, n - 1}) {
            double size = 0;
            const double sum = exact(i, 3, size);
            CHECK(std::abs(static_cast<double>(summed[at(n + i)]) - sum) < 1e-5 * size);
        }
        std::vector<std::vector<float>> results;
        for (const int form : {0, 1, 2}) {
            CAPTURE(form);
            KernelOperator kernel(p.stream, set, epsilon, form == 2 ? static_cast<int>(n) : 0,
                                  form == 0 ? 0.0 : 1e9);
            // What costs no more to compute again than to read is not stored.
            if (dim == 7)
                CHECK(kernel.form() == (form == 0   ? KernelOperator::Form::recomputed
                                        : form == 1 ? KernelOperator::Form::stored
                                                    : KernelOperator::Form::neighbours));
            kernel.multiply(in.span(), kEigenBlock, out.span());
            kernel.multiply(one_in.span(), 1, one_out.span());
            results.push_back(to_host(p.stream, Span<const float>(out.span())));
            const auto one = to_host(p.stream, Span<const float>(one_out.span()));
            for (const index i : {index{0}, index{17}, n - 1}) {
                double size = 0;
                for (const int b : {0, 15}) {
                    const double sum = exact(i, b, size);
                    CHECK(std::abs(static_cast<double>(results.back()[at(b * n + i)]) - sum) <
                          1e-5 * size);
                }
                const double sum = exact(i, 3, size);
                CHECK(std::abs(static_cast<double>(one[at(i)]) - sum) < 1e-5 * size);
            }
        }
        if (first.empty()) first = results;
        if (device.is_cpu()) CHECK(results == first);
    }
}

}  // namespace

TEST_CASE("kernel products: stored, recomputed and neighbours; any metric; every device") {
    for (const int dim : {1, 2, 7})
        for (const bool with_metric : {false, true}) {
            CAPTURE(dim);
            CAPTURE(with_metric);
            check_products(dim, with_metric);
        }
}

TEST_CASE("bandwidth and dimension from the data") {
    // A square, uniformly filled: dimension 2; a curve in three dimensions: 1.
    constexpr index n = 4000;
    std::vector<double> square(at(2 * n)), curve(at(3 * n));
    for (index i = 0; i < n; ++i) {
        square[at(i)] = uniform(i, 2);
        square[at(n + i)] = uniform(i, 3);
        const double t = 3 * uniform(i, 4);
        curve[at(i)] = std::cos(t);
        curve[at(n + i)] = std::sin(t);
        curve[at(2 * n + i)] = 0.3 * t;
    }
    Points a(Device::cpu(2), square, 2), b(Device::cpu(2), curve, 3);
    const Bandwidth plane = choose_bandwidth(a.stream, a.set, {});
    CHECK(plane.dimension == doctest::Approx(2).epsilon(0.15));
    CHECK(plane.epsilon < 0.1);
    const Bandwidth line = choose_bandwidth(b.stream, b.set, {});
    CHECK(line.dimension == doctest::Approx(1).epsilon(0.15));
}

TEST_CASE("harmonics of a strip are left out, its second direction is kept") {
    constexpr index n = 2500;
    constexpr double kLong = 4, kWide = 1.1;
    std::vector<double> x(at(2 * n));
    for (index i = 0; i < n; ++i) {
        x[at(i)] = kLong * uniform(i, 6);
        x[at(n + i)] = kWide * uniform(i, 7);
    }
    Points points(Device::cpu(2), x, 2);
    DiffusionMapOptions options;
    options.alpha = 1;
    options.epsilon = 0.01;
    options.coordinates = 6;
    const DiffusionMap map = diffusion_map(points.stream, points.set, {}, options);
    // cos πx/4, cos 2πx/4, cos 3πx/4, then the first function of y.
    REQUIRE(map.independent.size() >= 2);
    CHECK(map.independent[0] == 1);
    CHECK(map.independent[1] == 4);
    std::vector<double> f;
    for (index i = 0; i < n; ++i) f.push_back(std::cos(kPi * x[at(n + i)] / kWide));
    CHECK(left_out({function_of(map, 4)}, f, map.stationary) < 0.3);
}

TEST_CASE("a few samples far from all others are no coordinate of their own") {
    constexpr index n = 1500;
    std::vector<double> x(at(2 * n));
    for (index i = 0; i < n; ++i) {
        x[at(i)] = 3 * uniform(i, 10);
        x[at(n + i)] = 0.3 * uniform(i, 11);
    }
    // One alone, and a pair: without care each is an eigenfunction slower than cos πx/3.
    x[at(7)] = 1.5;
    x[at(n + 7)] = 1.1;
    x[at(8)] = 0.7;
    x[at(n + 8)] = -0.8;
    x[at(9)] = 0.71;
    x[at(n + 9)] = -0.8;
    for (const Device& device : test_devices()) {
        Points points(device, x, 2);
        DiffusionMapOptions options;
        options.alpha = 1;
        options.epsilon = 0.006;
        options.coordinates = 4;
        const DiffusionMap map = diffusion_map(points.stream, points.set, {}, options);
        CHECK(map.left_out == 3);
        CHECK(map.warnings.empty());
        std::vector<double> f;
        for (index i = 0; i < n; ++i) f.push_back(std::cos(kPi * x[at(i)] / 3));
        CHECK(left_out({function_of(map, 1)}, f, map.stationary) < 0.05);
        // They take the values of their nearest neighbours.
        const double top = std::abs(map.function(1)[7]), left = std::abs(map.function(1)[8]);
        CHECK(top < 0.3);
        CHECK(left > 0.5);
        CHECK(left < 1.4);
    }
}

TEST_CASE("a diffusion map does not depend on the threads, and says what is wrong") {
    constexpr index n = 700;
    std::vector<double> x(at(2 * n));
    for (index i = 0; i < n; ++i) {
        x[at(i)] = normal(i, 8) + (i % 2 ? 40 : 0);
        x[at(n + i)] = normal(i, 9);
    }
    Points two(Device::cpu(2), x, 2), one(Device::cpu(1), x, 2);
    DiffusionMapOptions options;
    options.epsilon = 0.3;
    const DiffusionMap a = diffusion_map(two.stream, two.set, {}, options);
    const DiffusionMap b = diffusion_map(one.stream, one.set, {}, options);
    CHECK(a.eigenvalues == b.eigenvalues);
    CHECK(a.functions == b.functions);
    REQUIRE(!a.warnings.empty());
    const auto warned = [](const DiffusionMap& map, const std::string& word) {
        return std::any_of(map.warnings.begin(), map.warnings.end(),
                           [&](const std::string& w) { return w.find(word) != std::string::npos; });
    };
    CHECK(warned(a, "disconnects"));
    options.epsilon = 1e-8;
    CHECK(warned(diffusion_map(two.stream, two.set, {}, options), "no neighbour"));
    std::vector<double> weights(at(n), 1e-12);
    weights[3] = 1;
    options.epsilon = 100;
    CHECK(warned(diffusion_map(two.stream, two.set, weights, options), "effective samples"));
    PointSet few = two.set;
    few.n = 20;
    CHECK_THROWS_AS(diffusion_map(two.stream, few, {}, options), InputError);
}

}  // namespace
}  // namespace microlift
