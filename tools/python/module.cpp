// What the Python sources in microlift/ stand on; they document it for users.

#include <pybind11/functional.h>
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <filesystem>
#include <new>

#include "engine/device/cpu.h"
#include "engine/error.h"
#include "engine/files/files.h"
#include "sampling/dynamics/systems.h"
#include "sampling/model/model.h"
#include "sampling/molecule/forces.h"
#include "sampling/run/pipeline.h"
#include "tools/command/commands.h"
#include "tools/python/job.h"
#include "tools/python/states.h"
#include "tools/python/tensor.h"

namespace microlift {
namespace {

namespace py = pybind11;

void raise(const char* kind, const std::string& message) {
    const py::object type = py::module_::import("microlift._errors").attr(kind);
    PyErr_SetObject(type.ptr(), type(message).ptr());
}

void translate(std::exception_ptr problem) {
    try {
        std::rethrow_exception(problem);
    } catch (const Interrupted&) {
        PyErr_SetString(PyExc_KeyboardInterrupt, "stopped after a checkpoint; go on with resume=True");
    } catch (const Error& error) {
        raise(error.exit_code() == 3 ? "DeviceError" : error.exit_code() == 4 ? "NumericalError" : "InputError",
              error.what());
    } catch (const std::bad_alloc&) {
        PyErr_SetString(PyExc_MemoryError, "there is not enough memory; take fewer windows, replicas or samples");
    } catch (const std::filesystem::filesystem_error& error) {
        raise("InputError", "cannot use " + error.path1().string() + ": " + error.code().message() + "; check the path");
    }
}

template <class T>
StateMatrix<T> matrix_of(py::array_t<std::remove_const_t<T>>& array) {
    constexpr auto size = static_cast<py::ssize_t>(sizeof(T));
    if (array.ndim() != 2 || array.strides(0) % size != 0 || array.strides(1) % size != 0)
        throw InputError("the states are no matrix of numbers side by side; give an array (states, variables)");
    T* data = nullptr;
    if constexpr (std::is_const_v<T>)
        data = array.data();
    else
        data = array.mutable_data();
    return {data, array.strides(0) / size, array.strides(1) / size};
}

template <class T>
py::object energy_forces(StateEvaluator& of, py::array_t<T> states, py::array_t<T> force, const py::object& terms) {
    const auto x = matrix_of<const T>(states);
    const auto f = matrix_of<T>(force);
    const index n = states.shape(0);
    if (states.shape(1) != of.variables() || force.shape(0) != n || force.shape(1) != of.variables())
        throw InputError("the states have " + std::to_string(states.shape(1)) + " variables; the system has " +
                         std::to_string(of.variables()));
    py::object energy = py::none();
    T* e = nullptr;
    if (of.has_energy()) {
        py::array_t<T> made(n);
        e = made.mutable_data();
        energy = made;
    }
    double* parts = nullptr;
    if (!terms.is_none()) parts = py::cast<py::array_t<double>>(terms).mutable_data();
    const py::gil_scoped_release release;
    if constexpr (sizeof(T) == 4)
        of.energy_forces(x, n, e, f);
    else
        of.energy_forces(x, n, e, f, parts);
    return energy;
}

SharedArray in_columns(const Device& device, index rows, index states) {
    auto memory = std::make_shared<Buffer<float>>(device, rows * states);
    SharedArray tensor;
    tensor.data = memory->data();
    tensor.owner = memory;
    tensor.device_type = device.is_cpu() ? 1 : 2;
    tensor.device_id = device.is_cpu() ? 0 : device.ordinal();
    return tensor;
}

// Tensors in the memory of the system's own device: (energy (n), force like the states).
py::tuple energy_forces_there(StateEvaluator& of, const SharedArray& states) {
    const Device& device = of.device();
    if (states.device_type != (device.is_cpu() ? 1 : 2) || (!device.is_cpu() && states.device_id != device.ordinal()))
        throw InputError("the tensor lies on another device than the system, " + device.description() +
                         "; move one of them");
    if (!of.model().molecule || states.bits != 32)
        throw InputError("tensors of a device are of molecules, in single precision; give a NumPy array");
    const bool by_atoms = states.shape.size() == 3 && states.shape[2] == 3;
    const index n = states.shape.empty() ? 0 : states.shape[0];
    if ((states.shape.size() != 2 && !by_atoms) || n < 1 || states.size() != n * of.variables())
        throw InputError("the tensor has not the shape (states, " + std::to_string(of.variables()) +
                         ") nor (states, atoms, 3); reshape it");
    const bool fits = states.strides[0] == 1 && states.strides.back() == n && (!by_atoms || states.strides[1] == 3 * n);
    if (!fits)
        throw InputError("the tensor's states do not lie side by side in memory, as the kernels take them; make it "
                         "of shape (variables, states), contiguous, and give its transpose");
    SharedArray energy = in_columns(device, 1, n), force = in_columns(device, of.variables(), n);
    energy.shape = {n};
    energy.strides = {1};
    force.shape = states.shape;
    force.strides = states.strides;
    {
        const py::gil_scoped_release release;
        of.energy_forces_there({static_cast<const float*>(states.data), n * of.variables()}, n,
                               {static_cast<float*>(energy.data), n}, {static_cast<float*>(force.data), n * of.variables()});
    }
    return py::make_tuple(energy, force);
}

void run(const std::string& config, const std::optional<std::string>& text, const std::string& out,
         const std::string& device, int threads, const std::string& math, std::optional<std::uint64_t> seed, bool resume,
         bool force, const std::vector<std::string>& set, const py::object& listener) {
    RunOptions options;
    options.out_dir = out;
    options.device = device;
    options.threads = threads;
    options.math = math;
    options.seed = seed;
    options.resume = resume;
    options.force = force;
    options.report = false;
    options.set = set;
    run_watched([&](Progress& progress) { run_configuration(config, text, options, progress); }, listener);
}

py::array_t<float> generate(const std::string& dir, const std::vector<double>& at, index count, index heal_steps,
                            std::optional<std::uint64_t> seed, const std::string& device, int threads,
                            const py::object& listener) {
    GenerateOptions options;
    options.dir = dir;
    options.at = at;
    options.count = count;
    options.heal_steps = heal_steps;
    options.seed = seed;
    options.device = device;
    options.threads = threads;
    auto states = std::make_shared<std::vector<float>>();
    index columns = 0;
    run_watched(
        [&](Progress& progress) {
            const DirectoryLock lock(dir, DirectoryLock::Use::reading);
            generate_states(options, progress, [&](const Model&, index dim, const float* rows, index n) {
                columns = dim;
                states->reserve(static_cast<std::size_t>(count * dim));
                states->insert(states->end(), rows, rows + n * dim);
            });
        },
        listener);
    const py::capsule owner(new std::shared_ptr(states),
                            [](void* p) { delete static_cast<std::shared_ptr<std::vector<float>>*>(p); });
    return py::array_t<float>({count, columns}, states->data(), owner);
}

py::dict info() {
    const TransferCounters moved = transfer_counters();
    py::dict d;
    d["version"] = MICROLIFT_VERSION;
    d["cpu"] = Device::cpu(1).description();
    d["cuda"] = kHaveCuda;
    d["cuda_devices"] = kHaveCuda ? Device::cuda_count() : 0;
    d["bytes_to_device"] = moved.bytes_to_device;
    d["bytes_to_host"] = moved.bytes_to_host;
    return d;
}

// Where pybind11 reads arrays' descriptors as NumPy 1 lays them out, numbers of NumPy 2 would be misread.
void check_numpy() {
    const auto version = py::module_::import("numpy").attr("__version__").cast<std::string>();
    if (PYBIND11_VERSION_HEX < 0x020C0000 && std::stoi(version) >= 2)
        throw py::import_error("microlift was built with pybind11 before 2.12, which does not know NumPy " + version +
                               "; build it with a later one (pip install does), or use NumPy 1");
}

}  // namespace
}  // namespace microlift

PYBIND11_MODULE(_core, m) {
    using namespace microlift;
    check_numpy();
    try {
        check_cpu_level();
    } catch (const std::exception& error) {
        throw py::import_error(error.what());
    }
    py::register_exception_translator(translate);
    m.def("run", &run);
    m.def("generate", &generate);
    m.def("info", &info);
    m.def("format_count", &format_count);
    m.def("format_seconds", &format_seconds);
    m.def("force_term_names", &force_term_names);

    py::class_<SharedArray>(m, "Tensor")
        .def(py::init([](const py::object& object) { return shared_array(object); }))
        .def_property_readonly("shape", [](const SharedArray& t) { return py::tuple(py::cast(t.shape)); })
        .def_property_readonly("data_ptr", [](const SharedArray& t) { return reinterpret_cast<std::uintptr_t>(t.data); })
        .def_property_readonly("device", [](const SharedArray& t) {
            return t.device_type == 1 ? std::string("cpu") : "cuda:" + std::to_string(t.device_id);
        })
        .def("__dlpack__", [](const SharedArray& t, const py::kwargs&) { return capsule_of(t); })
        .def("__dlpack_device__", [](const SharedArray& t) { return py::make_tuple(t.device_type, t.device_id); });

    py::class_<StateEvaluator>(m, "StateEvaluator")
        .def(py::init<const std::string&, const std::optional<std::string>&, const std::vector<std::string>&,
                      const std::string&, int>())
        .def_property_readonly("variables", [](const StateEvaluator& of) { return symbols_of(of.model().system).variables; })
        .def_property_readonly("cvs", [](const StateEvaluator& of) {
            std::vector<std::string> names;
            for (const CvVariable& cv : of.model().cv.variables) names.push_back(cv.name);
            return names;
        })
        .def_property_readonly("molecule", [](const StateEvaluator& of) { return of.model().molecule != nullptr; })
        .def_property_readonly("has_energy", &StateEvaluator::has_energy)
        .def_property_readonly("device", [](const StateEvaluator& of) { return of.device().description(); })
        .def_property_readonly("on_cpu", [](const StateEvaluator& of) { return of.device().is_cpu(); })
        .def("energy_forces_f32", &energy_forces<float>)
        .def("energy_forces_f64", &energy_forces<double>)
        .def("energy_forces_there", &energy_forces_there)
        .def("start", [](const StateEvaluator& of) {
            const ModelConfig& model = of.model();
            if (model.molecule) return model.molecule->position;
            if (!model.system.is_formula()) return find_system(model.system.name).initial;
            return std::vector<double>(static_cast<std::size_t>(of.variables()));
        })
        .def("cv_values", [](StateEvaluator& of, py::array_t<double> states) {
            const auto x = matrix_of<const double>(states);
            const auto n = static_cast<microlift::index>(states.shape(0));
            py::array_t<double> values({n, static_cast<microlift::index>(of.model().cv.count())});
            double* to = values.mutable_data();
            const py::gil_scoped_release release;
            of.cvs(x, n, to);
            return values;
        });
}
