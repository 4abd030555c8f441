#include "sampling/molecule/team_tables.h"

#include <algorithm>

namespace microlift {
namespace {

std::size_t at(int32 n) { return static_cast<std::size_t>(n); }

// Items in turns of one for each lane, -1 where there is none: the first turn with room behind those of all earlier
// items that share a row. touches(n) are item n's rows.
template <class Touches>
std::vector<int32> in_turns(int32 count, int lanes, const Touches& touches) {
    std::vector<std::vector<int32>> turns;
    std::vector<std::size_t> free;  // of each row the first turn that may have it
    for (int32 n = 0; n < count; ++n) {
        std::size_t turn = 0;
        const auto rows = touches(n);
        for (const int32 row : rows) {
            free.resize(std::max(free.size(), at(row) + 1));
            turn = std::max(turn, free[at(row)]);
        }
        while (turn < turns.size() && turns[turn].size() == at(lanes)) ++turn;
        turns.resize(std::max(turns.size(), turn + 1));
        turns[turn].push_back(n);
        for (const int32 row : rows) free[at(row)] = turn + 1;
    }
    std::vector<int32> items;
    for (auto& turn : turns) {
        turn.resize(at(lanes), -1);
        items.insert(items.end(), turn.begin(), turn.end());
    }
    return items;
}

// The rounds of twos of atoms (kernels/molecule/team_pairs.h): a two begins when its lane has ended the last one, and
// three rounds behind the two before at least, which has met both its atoms then.
struct Sweep {
    int32 atoms, lanes, rounds = 0;
    std::vector<int32> start;

    Sweep(int32 n, int32 of_team) : atoms(n), lanes(of_team) {
        for (int32 two = 0; 2 * two < atoms; ++two) {
            int32 first = two > 0 ? start.back() + 3 : 0;
            if (two >= lanes) first = std::max(first, start[at(two - lanes)] + length(two - lanes));
            start.push_back(first);
            rounds = std::max(rounds, first + length(two));
        }
    }
    int32 length(int32 two) const { return std::max(atoms - 2 * two - 1, 1); }
    // Where atoms 2 · two and a later one meet.
    std::size_t slot(int32 two, int32 j) const {
        return at(start[at(two)] + j - 2 * two - 1) * at(lanes) + at(two % lanes);
    }
    std::size_t slots() const { return at(rounds) * at(lanes); }
};

std::vector<TileEntry<float>> tiles_by_rounds(const ForceArrays<float>& arrays, const Sweep& sweep) {
    TileEntry<float> none{};
    none.j = -1;
    std::vector<TileEntry<float>> entries(sweep.slots(), none);
    int32 n = 0;
    for (const RowTile& tile : arrays.tiles)
        for (; n < tile.end; ++n) {
            const auto& entry = arrays.tile_entries[at(n)];
            entries[sweep.slot(tile.first / 6, entry.j / 3)] = entry;
        }
    return entries;
}

// Pairs of two atoms, their own first, then both with each later one.
template <class Pair>
std::vector<Pair> pairs_by_rounds(const std::vector<Pair>& pairs, const Sweep& sweep) {
    std::vector<Pair> entries(pairs.empty() ? 0 : 2 * sweep.slots(), Pair{});
    auto next = pairs.begin();
    for (int32 two = 0; next != pairs.end(); ++two)
        for (int32 j = 2 * two + 1; j < sweep.atoms; ++j) {
            const std::size_t slot = 2 * sweep.slot(two, j);
            entries[slot] = *next++;
            if (j > 2 * two + 1) entries[slot + 1] = *next++;
        }
    return entries;
}

template <class Entry>
const Entry* copied(Stream& stream, Buffer<Entry>& buffer, const std::vector<Entry>& entries) {
    if (entries.empty()) return nullptr;
    buffer = Buffer<Entry>(stream.device(), static_cast<index>(entries.size()));
    copy_to_device(stream, buffer.span(), entries.data());
    return buffer.data();
}

}  // namespace

Turns TeamTables::keep(Stream& stream, const std::vector<int32>& items) {
    return {static_cast<int32>(items.size()) / team_.lanes, copied(stream, numbers_.emplace_back(), items)};
}

TeamTables::TeamTables(Stream& stream, const Molecule& molecule, const ForceTables<float>& tables, int lanes)
    : view_(tables.view()) {
    const ForceArrays<float> a = flatten<float>(molecule);
    const ForceView<float>& v = a.counts;
    team_.lanes = lanes;
    const auto turns = [&](int32 count, const auto& touches) { return keep(stream, in_turns(count, lanes, touches)); };
    team_.torsions = turns(v.torsions, [&](int32 n) {
        return std::array{a.torsions[at(n)].corner_in, a.torsions[at(n)].corner_out};
    });
    team_.periodics = turns(v.periodics, [&](int32 n) {
        const auto& d = a.periodics[at(n)].dihedral;
        return std::array{d.first, d.middle, d.last};
    });
    team_.cmaps = turns(v.cmaps, [&](int32 n) {
        const auto &d = a.cmaps[at(n)].first, &e = a.cmaps[at(n)].second;
        return std::array{d.first, d.middle, d.last, e.first, e.middle, e.last};
    });
    team_.pulls = turns(v.edges, [&](int32 n) {
        const auto& edge = a.edges[at(a.pulls[at(n)].edge)];
        return std::array{edge.a, edge.b};
    });
    team_.singles = turns(v.singles / 2, [&](int32 n) {
        const auto &one = a.singles[at(2 * n)], &other = a.singles[at(2 * n + 1)];
        return std::array{one.i, one.j, other.i, other.j};
    });
    const Sweep sweep(v.atoms, lanes);
    team_.rounds = sweep.rounds;
    team_.start = copied(stream, numbers_.emplace_back(), sweep.start);
    view_.in_team = true;
    if (v.solvent) {
        view_.born_pair = copied(stream, born_pairs_, pairs_by_rounds(a.born_pairs, sweep));
        view_.neck_pair = copied(stream, neck_pairs_, pairs_by_rounds(a.neck_pairs, sweep));
    } else {
        view_.tile_entry = copied(stream, tile_entries_, tiles_by_rounds(a, sweep));
    }
}

}  // namespace microlift
