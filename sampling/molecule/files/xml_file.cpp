#include "sampling/molecule/files/xml_file.h"

#include <algorithm>

namespace microlift {

namespace {

index line_of_offset(const std::string& text, std::ptrdiff_t offset) {
    const auto end = text.begin() + std::clamp<std::ptrdiff_t>(offset, 0, std::ssize(text));
    return static_cast<index>(std::count(text.begin(), end, '\n'));
}

}  // namespace

XmlFile::XmlFile(const TextFile& file, const char* root) : file_(file) {
    // As UTF-8 whatever it says of itself, so that places in it are places in the file.
    const pugi::xml_parse_result result = document_.load_buffer(
        file.content().data(), file.content().size(), pugi::parse_default, pugi::encoding_utf8);
    if (!result)
        file.refuse(line_of_offset(file.content(), result.offset),
                    std::string("this XML cannot be read: ") + result.description() +
                        "; give a file as OpenMM's XmlSerializer writes it");
    root_ = document_.document_element();
    if (root_.name() != std::string(root))
        refuse(root_, "<" + std::string(root_.name()) + "> is not OpenMM's <" + root +
                          ">; give what XmlSerializer writes of a " + root);
}

void XmlFile::refuse(pugi::xml_node node, const std::string& message) const {
    file_.refuse(line_of_offset(file_.content(), node ? node.offset_debug() : 0), message);
}

pugi::xml_node XmlFile::child(pugi::xml_node node, const char* name) const {
    const pugi::xml_node found = optional_child(node, name);
    if (!found)
        refuse(node, "<" + std::string(node.name()) + "> has no <" + name + ">; give the whole file");
    return found;
}

pugi::xml_node XmlFile::optional_child(pugi::xml_node node, const char* name) const {
    const pugi::xml_node found = node.child(name);
    if (const pugi::xml_node second = found.next_sibling(name))
        refuse(second, "a second <" + std::string(name) + "> in <" + node.name() + ">; leave one of them");
    return found;
}

index XmlFile::count(pugi::xml_node node, const char* name) const {
    index n = 0;
    for (const pugi::xml_node child : node.children()) {
        if (child.name() != std::string(name))
            refuse(child, "<" + std::string(child.name()) + "> does not belong into <" + node.name() +
                              ">, which holds <" + name + ">");
        ++n;
    }
    return n;
}

double XmlFile::number(pugi::xml_node node, const char* attribute) const {
    const pugi::xml_attribute found = node.attribute(attribute);
    double value = 0;
    if (!found)
        refuse(node, "<" + std::string(node.name()) + "> has no " + attribute + "; give the whole file");
    if (!parse_number(found.value(), value))
        refuse(node, std::string(attribute) + " = " + quote_field(found.value()) +
                         " is not a finite number");
    return value;
}

double XmlFile::number(pugi::xml_node node, const char* attribute, double otherwise) const {
    return node.attribute(attribute) ? number(node, attribute) : otherwise;
}

index XmlFile::integer(pugi::xml_node node, const char* attribute) const {
    const pugi::xml_attribute found = node.attribute(attribute);
    long long value = 0;
    if (!parse_integer(found.value(), value))
        refuse(node, "<" + std::string(node.name()) + "> needs an integer as " + attribute +
                         ", not " + quote_field(found.value()));
    return value;
}

index XmlFile::below(pugi::xml_node node, const char* attribute, index n, const char* what) const {
    const index value = integer(node, attribute);
    if (value < 0 || value >= n)
        refuse(node, std::string(attribute) + " = " + std::to_string(value) + " names no " + what +
                         "; there are " + std::to_string(n) + ", counted from 0");
    return value;
}

}  // namespace microlift
