#include "sampling/samples/files/window_table.h"

#include <algorithm>

#include "engine/at.h"
#include "engine/config/schema.h"

namespace microlift {

namespace {

std::vector<std::string_view> table_cells(std::string_view line) {
    std::vector<std::string_view> cells;
    for (;;) {
        const std::size_t comma = line.find(',');
        std::string_view cell = without_blanks(line.substr(0, comma));
        if (cell.size() >= 2 && (cell[0] == '"' || cell[0] == '\'') && cell.back() == cell[0])
            cell = cell.substr(1, cell.size() - 2);
        cells.push_back(cell);
        if (comma == std::string_view::npos) return cells;
        line.remove_prefix(comma + 1);
    }
}

// Where the columns stand: file (−1: nowhere), center and stiffness of each collective variable.
struct WindowColumns {
    index file = -1;
    std::vector<index> center, stiffness;
};

WindowColumns find_window_columns(const TextFile& file, index line, const std::vector<std::string_view>& names,
                     const std::vector<std::string>& cvs) {
    const auto place = [&](const std::string& name) -> index {
        const auto found = std::ranges::find(names, name);
        return found == names.end() ? -1 : found - names.begin();
    };
    const auto one_of = [&](const std::vector<const char*>& words, std::size_t k) {
        std::vector<std::string> wanted;
        for (const char* word : words) {
            if (cvs.size() == 1) wanted.emplace_back(word);
            wanted.push_back(std::string(word) + "_" + std::to_string(k + 1));
            wanted.push_back(std::string(word) + "_" + cvs[k]);
        }
        for (const std::string& name : wanted)
            if (const index found = place(name); found >= 0) return found;
        const std::string name = words.front() + (cvs.size() == 1 ? std::string() : "_" + std::to_string(k + 1));
        file.refuse(line, "there is no column '" + name + "'; the line of names would be file," +
                              (cvs.size() == 1 ? "center,stiffness" : "center_1,center_2,stiffness_1,stiffness_2"));
    };
    WindowColumns columns;
    columns.file = place("file");
    for (std::size_t k = 0; k < cvs.size(); ++k) {
        columns.center.push_back(one_of({"center", "centre", "at"}, k));
        columns.stiffness.push_back(one_of({"stiffness", "kappa"}, k));
    }
    return columns;
}

}  // namespace

std::vector<WindowRow> read_window_table(const TextFile& file, const std::vector<std::string>& cvs) {
    std::vector<WindowRow> rows;
    std::optional<WindowColumns> columns;
    std::size_t width = 0;
    for (index line = 0; line < file.size(); ++line) {
        std::string_view text = without_blanks(file.line(line));
        if (!columns && text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);
        if (text.empty() || (text[0] == '#' && columns)) continue;
        if (text[0] == '#') text = without_blanks(text.substr(1));
        const std::vector<std::string_view> cells = table_cells(text);
        if (!columns) {
            columns = find_window_columns(file, line, cells, cvs);
            width = cells.size();
            continue;
        }
        if (cells.size() != width)
            file.refuse(line, "the row has " + std::to_string(cells.size()) + " cells, the line of names " +
                                  std::to_string(width) + "; give one for each name");
        WindowRow& row = rows.emplace_back();
        row.line = line + 1;
        if (columns->file >= 0) row.file = cells[at(columns->file)];
        const auto number = [&](index column) {
            double value = 0;
            if (!parse_number(cells[at(column)], value))
                file.refuse(line, quote_field(cells[at(column)]) + " is no finite number; give one");
            return value;
        };
        for (std::size_t k = 0; k < cvs.size(); ++k) {
            row.center[k] = number(columns->center[k]);
            row.stiffness[k] = number(columns->stiffness[k]);
            if (row.stiffness[k] < 0)
                file.refuse(line, "the stiffness is negative; give 0 where nothing holds a trajectory");
        }
    }
    if (rows.empty()) file.refuse("it holds no window; give a line of names and a row for each trajectory");
    return rows;
}

}  // namespace microlift
