#include "sampling/run/config/plumed_input.h"

#include <algorithm>
#include <filesystem>
#include <stdexcept>
#include <vector>

#include "engine/config/schema.h"
#include "engine/error.h"
#include "engine/files/files.h"
#include "sampling/bias/bias_config.h"
#include "sampling/bias/plumed/read.h"
#include "sampling/model/molecule_config.h"
#include "sampling/molecule/files/read_molecule.h"
#include "sampling/molecule/files/text_file.h"

namespace microlift {

namespace fs = std::filesystem;

namespace {

using Kind = ConfigValue::Kind;

void erase_key(ConfigValue& table, const std::string& key) {
    for (std::size_t i = 0; i < table.keys.size(); ++i) {
        if (table.keys[i] != key) continue;
        table.keys.erase(table.keys.begin() + static_cast<std::ptrdiff_t>(i));
        table.items.erase(table.items.begin() + static_cast<std::ptrdiff_t>(i));
        return;
    }
}

std::string text_in(const ConfigValue* table, const char* key) {
    const ConfigValue* value = table == nullptr ? nullptr : table->find(key);
    return value != nullptr && value->kind == Kind::text ? value->text : "";
}

double number_in(const ConfigValue* table, const char* key, double fallback) {
    const ConfigValue* value = table == nullptr ? nullptr : table->find(key);
    return value != nullptr && value->is_number() && value->as_number() > 0 ? value->as_number() : fallback;
}

void check_names_of_inputs(const ConfigValue& names, const KeySpec& spec) {
    ConfigValue value = names;
    for (const ValueFault& fault : check_value(value, spec, spec.path)) refuse(fault.origin, fault.wrong, fault.right);
}

template <class Struct>
const KeySpec& spec_of(const Section<Struct>& section, const std::string& path) {
    for (const Key<Struct>& key : section.keys())
        if (key.spec.path == path) return key.spec;
    throw std::logic_error("no key " + path);
}

std::vector<fs::path> input_files(const ConfigValue& names, const std::string& key, const fs::path& folder) {
    std::vector<fs::path> files;
    if (names.kind == Kind::text) files.push_back(folder / names.text);
    for (const ConfigValue& name : names.items) files.push_back(folder / name.text);
    std::error_code ignored;
    for (const fs::path& file : files)
        if (!fs::is_regular_file(file, ignored))
            refuse(names.origin,
                   "key '" + key + "' names the file '" + printable(file.string(), 200) + "', which does not exist",
                   "give the path of a PLUMED input, from the configuration's folder");
    return files;
}

// Of a topology that cannot be read its own message tells later.
index atoms_of_molecule(const ConfigValue* system, const fs::path& folder) {
    const std::string topology = text_in(system, "topology"), coordinates = text_in(system, "coordinates");
    if (topology.empty()) return kMostAtoms;
    try {
        MoleculeFiles files;
        files.topology = folder / topology;
        if (!coordinates.empty()) files.coordinates = folder / coordinates;
        return read_molecule(files).molecule.size();
    } catch (const InputError&) {
        return kMostAtoms;
    }
}

PlumedEngine engine_of(const ConfigValue& root, const ConfigValue& table, const fs::path& folder) {
    PlumedEngine engine;
    const ConfigValue* system = root.find("system");
    engine.atoms = atoms_of_molecule(system, folder);
    engine.temperature = number_in(system, "temperature", kRoomTemperature);
    engine.dt = number_in(root.find("integrator"), "dt", 0);
    if (const ConfigValue* bins = table.find("bins")) {
        if (bins->kind == Kind::integer) engine.bins.push_back(bins->integer);
        for (const ConfigValue& item : bins->items)
            if (item.kind == Kind::integer) engine.bins.push_back(item.integer);
    }
    return engine;
}

void merge_tables(ConfigValue& root, const std::string& section, const PlumedTables& tables) {
    ConfigValue& table = *root.find(section);
    for (std::size_t i = 0; i < tables.given.keys.size(); ++i) {
        const std::string& key = tables.given.keys[i];
        if (const ConfigValue* own = table.find(key))
            refuse(own->origin,
                   "key '" + section + "." + key + "' is said by the PLUMED input, too (" +
                       tables.given.items[i].origin.str() + ")",
                   "leave one of them out");
        table.put(key, tables.given.items[i]);
    }
    for (std::size_t i = 0; i < tables.fallback.keys.size(); ++i)
        if (!table.find(tables.fallback.keys[i])) table.put(tables.fallback.keys[i], tables.fallback.items[i]);
    root.put("cv", tables.cv);
    if (!tables.prints) return;
    ConfigValue* output = root.find("output");
    if (output == nullptr) {
        ConfigValue own;
        own.kind = Kind::table;
        own.origin = tables.given.origin;
        output = &root.put("output", std::move(own));
    }
    if (output->kind == Kind::table && !output->find("plumed")) {
        ConfigValue on = ConfigValue::of(true);
        set_origin(on, tables.given.origin);
        output->put("plumed", std::move(on));
    }
    if (output->kind == Kind::table && !tables.columns.items.empty() && !output->find("columns"))
        output->put("columns", tables.columns);
}

}  // namespace

namespace {

bool is_gone(const fs::path& file) {
    std::error_code ignored;
    return !fs::exists(file, ignored);
}

bool any_is_gone(const ConfigValue& names, const fs::path& folder) {
    if (names.kind == Kind::text) return is_gone(folder / names.text);
    return std::ranges::any_of(names.items, [&](const ConfigValue& name) { return any_is_gone(name, folder); });
}

// What the run there was told, besides what the configuration itself says.
bool take_from_run(ConfigValue& root, const std::string& section, const std::string& dir) {
    const fs::path file = fs::path(dir) / "config.toml";
    if (dir.empty() || is_gone(file)) return false;
    const ConfigValue own = parse_toml(read_file(file, std::size_t{1} << 24), file.string());
    for (const std::string& name : {section, std::string("cv"), std::string("output")}) {
        const ConfigValue* told = own.find(name);
        if (told == nullptr || told->kind != Kind::table) continue;
        ConfigValue* table = root.find(name);
        if (table == nullptr) {
            root.put(name, *told);
            continue;
        }
        for (std::size_t i = 0; i < told->keys.size() && table->kind == Kind::table; ++i)
            if (!table->find(told->keys[i])) table->put(told->keys[i], told->items[i]);
    }
    return true;
}

}  // namespace

void take_plumed_inputs(ConfigValue& root, const std::string& file, const std::string& dir) {
    const fs::path folder = fs::path(file).parent_path();
    for (const char* name : {"bias", "umbrella"}) {
        const std::string section = name, key = section + ".plumed";
        ConfigValue* table = root.find(section);
        if (table == nullptr || table->kind != Kind::table || !table->find("plumed")) continue;
        const ConfigValue* enabled = table->find("enabled");
        if (enabled != nullptr && enabled->kind == Kind::boolean && !enabled->boolean) continue;
        const ConfigValue names = *table->find("plumed");
        const bool windows = section == "umbrella";
        check_names_of_inputs(names, windows ? spec_of(umbrella_section, key) : spec_of(bias_section, key));
        if (text_in(root.find("system"), "kind") != "molecule")
            refuse(names.origin, "key '" + key + "' names an input of atoms, and the system is no molecule",
                   "describe a molecule (system.kind = \"molecule\"), or write out the keys of [" + section + "]");
        if (const ConfigValue* cv = root.find("cv"))
            refuse(cv->origin, "there are both [cv] and '" + key + "', whose input defines the collective variables",
                   "leave one of them out");
        if (any_is_gone(names, folder) && take_from_run(root, section, dir)) {
            erase_key(*root.find(section), "plumed");
            continue;
        }
        const std::vector<fs::path> files = input_files(names, key, folder);
        const PlumedEngine engine = engine_of(root, *table, folder);
        const PlumedTables tables = windows ? read_plumed_umbrella(files, engine) : read_plumed_bias(files[0], engine);
        erase_key(*root.find(section), "plumed");
        merge_tables(root, section, tables);
    }
}

}  // namespace microlift
