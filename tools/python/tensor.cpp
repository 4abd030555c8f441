#include "tools/python/tensor.h"

#include "engine/error.h"

namespace microlift {
namespace {

namespace py = pybind11;

// The structs of DLPack's header, version 0.8, whose layout is fixed.
struct DLDevice {
    std::int32_t type, id;
};
struct DLDataType {
    std::uint8_t code, bits;
    std::uint16_t lanes;
};
struct DLTensor {
    void* data;
    DLDevice device;
    std::int32_t ndim;
    DLDataType dtype;
    std::int64_t* shape;
    std::int64_t* strides;
    std::uint64_t byte_offset;
};
struct DLManagedTensor {
    DLTensor tensor;
    void* context;
    void (*deleter)(DLManagedTensor*);
};
constexpr std::uint8_t kFloat = 2;

// One allocation for what a capsule holds.
struct Shared {
    DLManagedTensor managed;
    SharedArray tensor;
};

}  // namespace

std::int64_t SharedArray::size() const {
    std::int64_t n = 1;
    for (const std::int64_t s : shape) n *= s;
    return n;
}

SharedArray shared_array(const py::object& object) {
    const py::object capsule = object.attr("__dlpack__")();
    auto* managed = static_cast<DLManagedTensor*>(PyCapsule_GetPointer(capsule.ptr(), "dltensor"));
    if (managed == nullptr) throw py::error_already_set();
    const DLTensor& from = managed->tensor;
    if (from.dtype.code != kFloat || from.dtype.lanes != 1 || (from.dtype.bits != 32 && from.dtype.bits != 64))
        throw InputError("the tensor holds no numbers of single or double precision; convert it to float32 or float64");
    SharedArray tensor;
    tensor.bits = from.dtype.bits;
    tensor.device_type = from.device.type;
    tensor.device_id = from.device.id;
    tensor.data = static_cast<char*>(from.data) + from.byte_offset;
    tensor.shape.assign(from.shape, from.shape + from.ndim);
    if (from.strides != nullptr) {
        tensor.strides.assign(from.strides, from.strides + from.ndim);
    } else {
        tensor.strides.assign(tensor.shape.size(), 1);
        for (std::size_t i = tensor.shape.size(); i-- > 1;)
            tensor.strides[i - 1] = tensor.strides[i] * tensor.shape[i];
    }
    PyCapsule_SetName(capsule.ptr(), "used_dltensor");
    tensor.owner = std::shared_ptr<void>(managed, [](void* taken) {
        // Its memory may be a Python object's.
        const py::gil_scoped_acquire gil;
        auto* of = static_cast<DLManagedTensor*>(taken);
        if (of->deleter != nullptr) of->deleter(of);
    });
    return tensor;
}

py::capsule capsule_of(const SharedArray& tensor) {
    auto* shared = new Shared{{}, tensor};
    DLTensor& to = shared->managed.tensor;
    to = {tensor.data,
          {tensor.device_type, tensor.device_id},
          static_cast<std::int32_t>(tensor.shape.size()),
          {kFloat, static_cast<std::uint8_t>(tensor.bits), 1},
          shared->tensor.shape.data(),
          shared->tensor.strides.data(),
          0};
    shared->managed.context = shared;
    shared->managed.deleter = [](DLManagedTensor* managed) { delete static_cast<Shared*>(managed->context); };
    return py::reinterpret_steal<py::capsule>(
        PyCapsule_New(&shared->managed, "dltensor", [](PyObject* capsule) {
            // Whoever took it renamed it.
            if (PyCapsule_IsValid(capsule, "dltensor") == 0) return;
            auto* managed = static_cast<DLManagedTensor*>(PyCapsule_GetPointer(capsule, "dltensor"));
            managed->deleter(managed);
        }));
}

}  // namespace microlift
