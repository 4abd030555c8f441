// Device memory: Buffer owns, Span views.
#pragma once

#include <type_traits>
#include <utility>

#include "engine/device/stream.h"

namespace microlift {

// A view of n values in device memory; all that kernels and layers see.
template <class T>
struct Span {
    T* data = nullptr;
    index size = 0;

    Span() = default;
    Span(T* d, index n) : data(d), size(n) {}
    // Span<T> converts to Span<const T>.
    template <class U, class = std::enable_if_t<std::is_same_v<const U, T>>>
    Span(const Span<U>& other) : data(other.data), size(other.size) {}

    // Values [from, from + count).
    Span subspan(index from, index count) const { return {data + from, count}; }
};

// What Buffer and the copies below are made of: untyped memory of a device, sizes in bytes. Throw DeviceError.
void* device_allocate(const Device& device, std::size_t bytes);  // zeroed, 256-byte aligned
void device_free(const Device& device, void* data) noexcept;
void copy_bytes_to_device(Stream& stream, void* to, const void* from, std::size_t bytes);
void copy_bytes_to_host(Stream& stream, void* to, const void* from, std::size_t bytes);
void copy_bytes_on_device(Stream& stream, void* to, const void* from, std::size_t bytes);
void zero_bytes(Stream& stream, void* to, std::size_t bytes);

// An array (size) on a device, zeroed, which it owns: moved, never copied. What its shape is, its user says. Throws
// DeviceError where memory is short.
template <class T>
class Buffer {
    static_assert(std::is_trivially_copyable_v<T>);

public:
    Buffer() = default;
    Buffer(const Device& device, index size)
        : device_(std::make_shared<Device>(device)),
          data_(static_cast<T*>(
              device_allocate(device, static_cast<std::size_t>(size) * sizeof(T)))),
          size_(size) {}
    Buffer(Buffer&& other) noexcept { swap(other); }
    Buffer& operator=(Buffer&& other) noexcept {
        swap(other);
        return *this;
    }
    ~Buffer() {
        if (data_) device_free(*device_, data_);
    }

    // How many numbers, and where: an address on the device.
    index size() const { return size_; }
    T* data() { return data_; }
    const T* data() const { return data_; }
    // A view of all; it is good for as long as the buffer lives and is not moved.
    Span<T> span() { return {data_, size_}; }
    Span<const T> span() const { return {data_, size_}; }

private:
    void swap(Buffer& other) {
        std::swap(device_, other.device_);
        std::swap(data_, other.data_);
        std::swap(size_, other.size_);
    }
    std::shared_ptr<Device> device_;
    T* data_ = nullptr;
    index size_ = 0;
};

// The only two ways between host and device; both count their bytes. What goes to the host is waited for; what goes to
// the device is taken at once, and waited for only where it is more than can be staged (staging.h).
template <class T>
void copy_to_device(Stream& stream, Span<T> to, const std::type_identity_t<T>* from) {
    copy_bytes_to_device(stream, to.data, from, static_cast<std::size_t>(to.size) * sizeof(T));
}
template <class T>
void copy_to_host(Stream& stream, std::remove_const_t<T>* to, Span<T> from) {
    copy_bytes_to_host(stream, to, from.data, static_cast<std::size_t>(from.size) * sizeof(T));
}
// The same into a vector of that size, (size).
template <class T>
std::vector<std::remove_const_t<T>> to_host(Stream& stream, Span<T> from) {
    std::vector<std::remove_const_t<T>> host(static_cast<std::size_t>(from.size));
    copy_to_host(stream, host.data(), from);
    return host;
}

// On the device; may be recorded. Spans are of one size, (size).
template <class T>
void copy(Stream& stream, Span<T> to, Span<const std::type_identity_t<T>> from) {
    copy_bytes_on_device(stream, to.data, from.data, static_cast<std::size_t>(to.size) * sizeof(T));
}
template <class T>
void fill_zero(Stream& stream, Span<T> to) {
    zero_bytes(stream, to.data, static_cast<std::size_t>(to.size) * sizeof(T));
}

}  // namespace microlift
