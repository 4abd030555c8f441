// The record of a run, metrics.json: JSON whose objects keep their keys in the order of insertion and
// never move their values, so that a reference to one stays good while others are added.
#pragma once

#include <algorithm>
#include <list>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <utility>

namespace microlift {

// The part of std::map that basic_json uses, over a list. Objects here have tens of keys.
template <class Key, class T, class Ignored = void,
          class Allocator = std::allocator<std::pair<const Key, T>>>
struct StableOrderedMap : std::list<std::pair<const Key, T>, Allocator> {
    using List = std::list<std::pair<const Key, T>, Allocator>;
    using key_type = Key;
    using mapped_type = T;
    using key_compare = std::equal_to<>;
    using typename List::const_iterator;
    using typename List::iterator;
    using typename List::size_type;
    using typename List::value_type;
    using List::erase;
    using List::List;

    template <class Name>
    iterator find(const Name& key) {
        return std::find_if(this->begin(), this->end(),
                            [&](const value_type& entry) { return entry.first == key; });
    }
    template <class Name>
    const_iterator find(const Name& key) const {
        return std::find_if(this->begin(), this->end(),
                            [&](const value_type& entry) { return entry.first == key; });
    }
    template <class Name>
    size_type count(const Name& key) const {
        return find(key) == this->end() ? 0 : 1;
    }
    template <class Name, class Value>
    std::pair<iterator, bool> emplace(Name&& key, Value&& value) {
        if (const iterator found = find(key); found != this->end()) return {found, false};
        this->emplace_back(Key(std::forward<Name>(key)), T(std::forward<Value>(value)));
        return {std::prev(this->end()), true};
    }
    template <class Name>
    T& operator[](Name&& key) {
        return emplace(std::forward<Name>(key), T{}).first->second;
    }
    template <class Name>
    T& at(const Name& key) {
        const iterator found = find(key);
        if (found == this->end()) throw std::out_of_range("no such key");
        return found->second;
    }
    template <class Name>
    const T& at(const Name& key) const {
        return const_cast<StableOrderedMap*>(this)->at(key);
    }
    size_type erase(const Key& key) {
        const iterator found = find(key);
        if (found == this->end()) return 0;
        List::erase(found);
        return 1;
    }
    std::pair<iterator, bool> insert(value_type&& entry) {
        return emplace(entry.first, std::move(entry.second));
    }
    std::pair<iterator, bool> insert(const value_type& entry) {
        return emplace(entry.first, entry.second);
    }
    template <class From>
    void insert(From first, From last) {
        for (; first != last; ++first) emplace(first->first, first->second);
    }
};

using Json = nlohmann::basic_json<StableOrderedMap>;

}  // namespace microlift
