// Arrays of the device in a checkpoint.
#pragma once

#include <string>
#include <type_traits>
#include <vector>

#include "engine/device/buffer.h"
#include "engine/files/store.h"

namespace microlift {

// What a Store has in place of T.
template <class T>
using KeptAs = std::conditional_t<std::is_floating_point_v<T>, T, long long>;

template <class T>
void keep(Stream& stream, Store& store, const std::string& name, const Buffer<T>& values) {
    const std::vector<T> host = to_host(stream, values.span());
    store.put(name, std::vector<KeptAs<T>>(host.begin(), host.end()));
}

// InputError where the store has another size.
template <class T>
void restore(Stream& stream, const Store& store, const std::string& name, Buffer<T>& values) {
    std::vector<T> host;
    for (const KeptAs<T> v : store.get<KeptAs<T>>(name, values.size())) host.push_back(static_cast<T>(v));
    copy_to_device(stream, values.span(), host.data());
}

}  // namespace microlift
