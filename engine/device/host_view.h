// Values of a device for the host.
#pragma once

#include "engine/device/buffer.h"

namespace microlift {

// Values of the device as the host reads them, (size): those of the CPU where they lie, of CUDA a copy. Good for as long
// as nobody writes or frees them.
template <class T>
class HostView {
public:
    HostView() = default;
    HostView(Stream& stream, Span<const T> of) : data_(of.data), size_(of.size) {
        if (stream.device().is_cpu()) return;
        copy_ = to_host(stream, of);
        data_ = copy_.data();
    }
    HostView(HostView&&) noexcept = default;
    HostView& operator=(HostView&&) noexcept = default;
    index size() const { return size_; }
    const T* data() const { return data_; }
    const T& operator[](std::size_t i) const { return data_[i]; }
    const T* begin() const { return data_; }
    const T* end() const { return data_ + size_; }

private:
    std::vector<T> copy_;
    const T* data_ = nullptr;
    index size_ = 0;
};

}  // namespace microlift
