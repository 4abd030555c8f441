// Which of PLUMED's actions are read, and what becomes of each key.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace microlift {

enum class PlumedUse { read, idle, refused, unknown };

// Names of keys, parted by blanks: "!" behind a flag, "#" behind one that is numbered (STEP0, STEP1, …).
struct PlumedActionInfo {
    const char* name;
    const char* meaning;  // what it is here
    const char* read;
    const char* idle;     // taken, and without effect here
    const char* refused;  // PLUMED's, and not done here

    PlumedUse use(std::string_view key) const;
    bool is_flag(std::string_view key) const;
    std::vector<std::string> keys() const;  // that may be given
};

const std::vector<PlumedActionInfo>& plumed_actions();
const PlumedActionInfo* find_plumed_action(std::string_view name);
// The page's table.
std::string plumed_actions_markdown();

}  // namespace microlift
