#pragma once
// Checks of what keys say together. They stand beside the struct that the keys fill and need no file;
// who read a file knows the place of every key and adds it.

#include <cstddef>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

#include "engine/error.h"

namespace microlift {

// What is wrong with the value of a key ("umbrella.stride"), and what would be right.
class KeyError : public InputError {
public:
    KeyError(std::string key, std::string wrong, std::string right)
        : InputError(wrong + "; " + right), key_(std::move(key)), wrong_(std::move(wrong)),
          right_(std::move(right)) {}
    const std::string& key() const { return key_; }
    const std::string& wrong() const { return wrong_; }
    const std::string& right() const { return right_; }

private:
    std::string key_, wrong_, right_;
};

// Runs `work`; an InputError of its becomes one of the key.
template <class Work>
auto of_key(const char* key, const Work& work) {
    try {
        return work();
    } catch (const KeyError&) {
        throw;
    } catch (const InputError& error) {
        const std::string text = error.what();
        const std::size_t cut = text.rfind("; ");
        throw KeyError(key, "key '" + std::string(key) + "': " + text.substr(0, cut),
                       cut == std::string::npos ? "correct it" : text.substr(cut + 2));
    }
}

// KeyError where the file that a key names is not the one whose checksum is given, if one is.
inline void check_checksum(const std::string& key, const std::string& file, const std::string& checksum,
                           const std::string& given) {
    if (given.empty() || checksum == given) return;
    throw KeyError(key,
                   "key '" + key + "' names the file '" + file + "', whose checksum is " + checksum +
                       ", not " + given + ": it is another file, or was altered",
                   "put the file back, or leave its checksum out to use this one");
}

// "3 values for 2 variables": KeyError unless there are so many.
inline std::string count_of(std::size_t n, const char* thing) {
    return std::to_string(n) + " " + thing + (n == 1 ? "" : "s");
}
inline void check_count(const char* key, std::size_t found, std::size_t expected, const char* thing) {
    if (found == expected) return;
    throw KeyError(key,
                   "key '" + std::string(key) + "' has " + count_of(found, "value") + " for " +
                       count_of(expected, thing),
                   "give one entry for each " + std::string(thing));
}

// Checks one after the other. Alone, the first KeyError ends them; a Config keeps all errors, and
// leaves out a check where one of its keys is wrong already.
class Checks {
public:
    Checks() = default;
    virtual ~Checks() = default;

    template <class Check>
    void with(std::initializer_list<std::string_view> keys, const Check& check) {
        for (const std::string_view key : keys)
            if (!sound(key)) return;
        try {
            check();
        } catch (const KeyError& error) {
            keep(error);
        }
    }

    // Whether nothing is wrong with the key, the tables around it and what it holds.
    virtual bool sound(std::string_view) const { return true; }
    // Within a handler of this error.
    virtual void keep(const KeyError&) { throw; }

protected:
    Checks(const Checks&) = default;
    Checks(Checks&&) = default;
    Checks& operator=(const Checks&) = default;
    Checks& operator=(Checks&&) = default;
};

}  // namespace microlift
