// The syntax of a PLUMED input: words, comments, continued lines, braces, labels. What actions mean is not known here.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "engine/config/value.h"

namespace microlift {

// "ARG=phi", or a flag; braces about blanks are gone.
struct PlumedWord {
    std::string text;
    ConfigOrigin origin;
};

struct PlumedAction {
    std::string name;   // "METAD"
    std::string label;  // of "phi: …" or LABEL=phi; empty: none
    ConfigOrigin origin, label_origin;
    std::vector<PlumedWord> words;  // behind the name, without LABEL
};

// Up to ENDPLUMED. InputError with file, line and column for what is no input: an open brace or continuation, a line
// that is no action.
std::vector<PlumedAction> read_plumed_actions(std::string_view text, const std::string& file);

}  // namespace microlift
