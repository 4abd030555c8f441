// potential.h5: what pictures of the samples need of the model's formulas, so that who draws them reads
// no formula. Attribute `format` of the file: "microlift potential 1". Data sets:
//
//   /sample (m)            int64: rows of samples.h5, ascending, drawn at random from all of them; at most
//                          kDrawn. Everything below that is "of a sample" stands in this order.
//   /sample_potential (m)  float64: V of these samples. Absent where the system has no potential.
//   /observed (m, o)       float64: the functions of system.observe. Absent where there are none.
//
// and, of systems of one or two variables (n = 600 points; 300 on each axis):
//
//   /axis_1 (n1), /axis_2 (n2)  float64: points evenly apart, of the first and the second variable; of one
//                               variable from the least to the greatest of the samples above, of two the
//                               box that all but a thousandth of them lie in, 12 % wider on each side.
//   /potential (n1), (n2, n1)   float64: V there, [j][i] at axis_1[i], axis_2[j]; absent like the other V.
//   /cv (k, n1), (k, n2, n1)    float64: each collective variable there.
//
// /potential and /cv carry the attribute `variables`, the names of the axes. Values are in double
// precision; not a number where a formula has none.
#include "sampling/run/stages.h"

#include <algorithm>
#include <cmath>

#include "engine/device/host_view.h"
#include "sampling/run/files/sample_files.h"

namespace microlift {

namespace {

constexpr index kDrawn = 9000;
constexpr index kLinePoints = 600, kPlanePoints = 300;
constexpr std::size_t kBytes = 8 * (3 * kDrawn + 3 * kPlanePoints * kPlanePoints);  // about

// Rows of samples.h5 once it is thinned (write_thinned), and which they were before.
class RowsLeft {
public:
    explicit RowsLeft(const Run& run) : blocks_(run.samples.blocks), thin_(run.config.output.thin), all_(run.samples.n) {}
    index size() const {
        if (thin_ == 1) return all_;
        index n = 0;
        for (const SampleBlock& b : blocks_) n += of_block(b);
        return n;
    }
    index before(index row) const {
        if (thin_ == 1) return row;
        for (const SampleBlock& b : blocks_) {
            if (row < of_block(b)) return b.first + row / b.trajectories() * thin_ * b.trajectories() + row % b.trajectories();
            row -= of_block(b);
        }
        return all_ - 1;
    }

private:
    index of_block(const SampleBlock& b) const { return thinned_samples(b, thin_) * b.trajectories(); }
    const std::vector<SampleBlock>& blocks_;
    index thin_, all_;
};

// At most `most` of the numbers below n, in ascending order.
std::vector<long long> drawn_rows(index n, index most, uint64 seed) {
    std::vector<long long> rows;
    for (index i = 0; i < std::min(n, most); ++i)
        rows.push_back(n <= most ? i
                                 : static_cast<long long>(derived_seed(seed, static_cast<uint64>(i)) %
                                                          static_cast<uint64>(n)));
    std::sort(rows.begin(), rows.end());
    rows.erase(std::unique(rows.begin(), rows.end()), rows.end());
    return rows;
}

// Between the neighbours of rank p (n − 1).
double quantile(std::vector<double> values, double p) {
    std::sort(values.begin(), values.end());
    const double rank = p * static_cast<double>(values.size() - 1);
    const auto below = static_cast<std::size_t>(rank);
    const auto above = std::min(below + 1, values.size() - 1);
    return values[below] + (rank - static_cast<double>(below)) * (values[above] - values[below]);
}

std::vector<double> axis(const std::vector<double>& seen, bool plane) {
    double from = quantile(seen, plane ? 0.0005 : 0), to = quantile(seen, plane ? 0.9995 : 1);
    double margin = (plane ? 0.12 : 1e-9) * (to - from);
    if (!(to > from)) margin = from != 0 ? 1e-3 * std::fabs(from) : 1.0;
    from -= margin, to += margin;
    const index n = plane ? kPlanePoints : kLinePoints;
    std::vector<double> points(static_cast<std::size_t>(n));
    for (index i = 0; i < n; ++i)
        points[static_cast<std::size_t>(i)] =
            from + (to - from) * static_cast<double>(i) / static_cast<double>(n - 1);
    return points;
}

// Values of formulas, (nodes, points), at states x, (variables, points).
std::vector<double> values_at(const FormulaSystem& system, const std::vector<NodeId>& nodes,
                              const std::vector<double>& x) {
    const std::size_t points = x.size() / static_cast<std::size_t>(system.dim);
    std::vector<double> values(nodes.size() * points);
    BatchEvaluator(system.graph, nodes)(x.data(), points, points, values.data());
    return values;
}

// Every state of the plane or line of the axes, the first variable running fastest.
std::vector<double> states_of(const std::vector<std::vector<double>>& axes) {
    if (axes.size() == 1) return axes[0];
    std::vector<double> x, y;
    for (double b : axes[1])
        for (double a : axes[0]) {
            x.push_back(a);
            y.push_back(b);
        }
    x.insert(x.end(), y.begin(), y.end());
    return x;
}

class PotentialFile {
public:
    PotentialFile(const fs::path& file, const Model& model)
        : model_(model), system_(model.formulas()), file_(file, "potential", kBytes) {
        file_.attribute("/", "format", std::string("microlift potential 1"));
    }
    // x (variable, sample).
    void put_samples(const std::vector<long long>& rows, const std::vector<std::vector<double>>& x);
    void put_grid(const std::vector<std::vector<double>>& axes);
    void commit() { file_.commit(); }

private:
    template <class T>
    void put(const std::string& name, std::vector<index> shape, const std::vector<T>& values) {
        const index rows = shape[0];
        file_.add_array(name, {dtype_of<T>(), std::move(shape)});
        file_.write(name, 0, rows, values.data());
    }
    const Model& model_;
    const FormulaSystem& system_;
    ArrayFileWriter file_;
};

void PotentialFile::put_samples(const std::vector<long long>& rows,
                                const std::vector<std::vector<double>>& x) {
    const auto m = static_cast<index>(rows.size());
    std::vector<double> states;
    for (const auto& values : x) states.insert(states.end(), values.begin(), values.end());
    put("sample", {m}, rows);
    if (model_.gradient())
        put("sample_potential", {m}, values_at(system_, {system_.potential_node}, states));
    if (!model_.observed()) return;
    const auto o = static_cast<index>(system_.observe_nodes.size());
    const std::vector<double> columns = values_at(system_, system_.observe_nodes, states);
    std::vector<double> observed;
    for (index i = 0; i < m; ++i)
        for (index k = 0; k < o; ++k)
            observed.push_back(columns[static_cast<std::size_t>(k * m + i)]);
    put("observed", {m, o}, observed);
}

void PotentialFile::put_grid(const std::vector<std::vector<double>>& axes) {
    std::vector<index> shape;
    for (std::size_t d = 0; d < axes.size(); ++d) {
        shape.insert(shape.begin(), static_cast<index>(axes[d].size()));
        put("axis_" + std::to_string(d + 1), {shape.front()}, axes[d]);
    }
    const std::vector<double> grid = states_of(axes);
    if (model_.gradient()) {
        put("potential", shape, values_at(system_, {system_.potential_node}, grid));
        file_.attribute("potential", "variables", system_.variables);
    }
    shape.insert(shape.begin(), model_.n_cvs());
    put("cv", shape, values_at(system_, system_.cv_nodes, grid));
    file_.attribute("cv", "variables", system_.variables);
}

}  // namespace

void write_potential(Run& run) {
    const SampleSet& samples = run.samples;
    const RowsLeft left(run);
    const std::vector<long long> rows = drawn_rows(left.size(), kDrawn, derived_seed(run.config.seed, 9400));
    if (rows.empty()) return;
    std::vector<std::vector<double>> seen;  // (variable, sample)
    for (int d = 0; d < run.model.dim(); ++d) {
        const HostView<float> column(run.stream, Span<const float>(samples.x.span().subspan(d * samples.row, samples.n)));
        seen.emplace_back();
        for (long long row : rows)
            seen.back().push_back(static_cast<double>(column[static_cast<std::size_t>(left.before(row))]));
    }
    PotentialFile file(run.dir / "potential.h5", run.model);
    file.put_samples(rows, seen);
    if (seen.size() <= 2) {
        std::vector<std::vector<double>> axes;
        for (const auto& values : seen) axes.push_back(axis(values, seen.size() == 2));
        file.put_grid(axes);
    }
    file.commit();
}

}  // namespace microlift
