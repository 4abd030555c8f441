#include "sampling/run/places.h"

#include <algorithm>
#include <cmath>

namespace microlift {

std::vector<CvValue> bin_centres(const Grid& grid) {
    std::vector<CvValue> centres;
    for (index b = 0; b < grid.size(); ++b)
        centres.push_back({grid.centre(0, b), grid.dims == 2 ? grid.centre(1, b) : 0.0});
    return centres;
}

std::size_t bin_of(const Grid& grid, const CvValue& value) {
    index bin = 0;
    for (int k = 0; k < grid.dims; ++k) {
        const auto i = static_cast<std::size_t>(k);
        const double middle = 0.5 * (grid.from[i] + grid.to[i]);
        const double at = grid.round[i] ? middle + grid.apart(k, value[i], middle) : value[i];
        const index b = std::clamp<index>(
            static_cast<index>((at - grid.from[i]) / grid.width(k)), 0, grid.bins[i] - 1);
        bin = bin * grid.bins[i] + b;
    }
    return static_cast<std::size_t>(bin);
}

std::vector<CvValue> judged_values(const Run& run) {
    const UmbrellaConfig& u = run.config.umbrella;
    std::vector<CvValue> values;
    const auto at = [&](std::size_t k, double i) {
        return u.from[k] +
               (u.to[k] - u.from[k]) * i /
                   std::max(1.0, static_cast<double>(u.windows[k] - (u.all_round(k) ? 0 : 1)));
    };
    if (run.grid.dims == 1) {
        // Window centres and the points midway between them, in turn, without the two ends.
        const index places = std::max<index>(1, 2 * u.windows[0] - (u.all_round(0) ? 1 : 3));
        const index count = std::min(run.config.lifting.values, places);
        for (index i = 0; i < count; ++i) {
            const index place = 1 + (count == 1 ? places / 2 : i * (places - 1) / (count - 1));
            values.push_back({at(0, 0.5 * static_cast<double>(place)), 0.0});
        }
        return values;
    }
    const index side = std::max<index>(
        1, static_cast<index>(std::sqrt(static_cast<double>(run.config.lifting.values))));
    const auto inner = [&](std::size_t k, index i) {
        return at(k, (static_cast<double>(i) + 0.5) / static_cast<double>(side) *
                         static_cast<double>(u.windows[k] - (u.all_round(k) ? 0 : 1)));
    };
    for (index i = 0; i < side; ++i)
        for (index j = 0; j < side; ++j) values.push_back({inner(0, i), inner(1, j)});
    return values;
}

std::vector<CvValue> some_of(const std::vector<CvValue>& all, index most) {
    std::vector<CvValue> some;
    const std::size_t count = std::min(static_cast<std::size_t>(most), all.size());
    for (std::size_t i = 0; i < count; ++i)
        some.push_back(all[count == 1 ? all.size() / 2 : i * (all.size() - 1) / (count - 1)]);
    return some;
}

double window_spacing(const Run& run, int k) {
    return run.config.umbrella.spacing(static_cast<std::size_t>(k));
}

std::vector<CouplingPlace> coupling_places(const Run& run) {
    const UmbrellaConfig& u = run.config.umbrella;
    std::vector<CouplingPlace> places;
    const auto at = [&](std::size_t k, index half) {
        return u.from[k] + 0.5 * static_cast<double>(half) * window_spacing(run, static_cast<int>(k));
    };
    const auto count = [&](std::size_t k) { return 2 * u.windows[k] - (u.all_round(k) ? 0 : 1); };
    for (index i = 0; i < count(0); ++i)
        for (index j = 0; j < (run.grid.dims == 2 ? count(1) : 1); ++j) {
            CouplingPlace place;
            place.at = {at(0, i), run.grid.dims == 2 ? at(1, j) : 0.0};
            places.push_back(place);
        }
    return places;
}

std::vector<std::string> cv_columns(int dims, const std::vector<std::string>& more) {
    std::vector<std::string> columns;
    for (int k = 0; k < dims; ++k) columns.push_back("cv_" + std::to_string(k + 1));
    columns.insert(columns.end(), more.begin(), more.end());
    return columns;
}

std::vector<CsvWriter::Cell> cv_cells(int dims, const CvValue& value) {
    std::vector<CsvWriter::Cell> cells;
    for (int k = 0; k < dims; ++k) cells.emplace_back(value[static_cast<std::size_t>(k)]);
    return cells;
}

Json cv_json(int dims, const CvValue& value) {
    Json list;
    for (int k = 0; k < dims; ++k) list.push_back(value[static_cast<std::size_t>(k)]);
    return list;
}

}  // namespace microlift
