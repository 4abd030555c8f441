// XML whose nodes know their lines, with attributes that are checked.
#pragma once

#include <array>
#include <pugixml.hpp>
#include <string>

#include "sampling/molecule/files/text_file.h"

namespace microlift {

class XmlFile {
public:
    // InputError for what is no XML, or whose outermost element has another name.
    XmlFile(const TextFile& file, const char* root);

    pugi::xml_node root() const { return root_; }
    // The one child of that name; InputError if it is missing, or if there are two.
    pugi::xml_node child(pugi::xml_node node, const char* name) const;
    // The same, or none.
    pugi::xml_node optional_child(pugi::xml_node node, const char* name) const;
    // How many children there are; InputError for one of another name.
    index count(pugi::xml_node node, const char* name) const;

    double number(pugi::xml_node node, const char* attribute) const;
    double number(pugi::xml_node node, const char* attribute, double otherwise) const;
    index integer(pugi::xml_node node, const char* attribute) const;
    // 0 to n − 1.
    index below(pugi::xml_node node, const char* attribute, index n, const char* what) const;

    // Particles, each once.
    template <std::size_t N>
    std::array<index, N> distinct(pugi::xml_node node, const std::array<const char*, N>& attributes,
                                  index particles) const {
        std::array<index, N> found;
        for (std::size_t a = 0; a < N; ++a) {
            found[a] = below(node, attributes[a], particles, "particle");
            for (std::size_t b = 0; b < a; ++b)
                if (found[b] == found[a])
                    refuse(node, "particle " + std::to_string(found[a]) +
                                     " stands twice in one term; give different ones");
        }
        return found;
    }

    // InputError "FILE:LINE: …".
    [[noreturn]] void refuse(pugi::xml_node node, const std::string& message) const;

private:
    const TextFile& file_;
    pugi::xml_document document_;
    pugi::xml_node root_;
};

}  // namespace microlift
