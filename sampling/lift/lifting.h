// Lifting: fine-scale states consistent with a coarse value. The generator proposes, Newton steps put
// the proposals onto the level set ξ = s, and short dynamics held on it heals what is still wrong.
#pragma once

#include <functional>
#include <memory>

#include "nn/generators/generator.h"
#include "sampling/model/model.h"
#include "sampling/molecule/coordinates/molecule_coordinates.h"

namespace microlift {

// The variable that a CV simply is, or −1.
int coordinate_of(const FormulaSystem::Cv& cv);

// The variables that a generator has to make: a variable that is itself a CV is known from s.
std::vector<int> free_variables(const Model& model);

// Of a molecule, the coordinates in which the generator of these weights makes its states; of other systems
// null.
std::shared_ptr<MoleculeCoordinates> coordinates_of(Stream& stream, const Model& model,
                                                    const SafeTensors& weights);

// States with a given value of the collective variables, by a generator. Arrays are on the stream's device.
class Lifter {
public:
    // `generator` makes the free variables in order, or the observed functions, or of a molecule its
    // `coordinates`.
    Lifter(Stream& stream, const Model& model, Generator generator, bool project,
           std::shared_ptr<MoleculeCoordinates> coordinates = nullptr);

    // Rows of a lifted state: the state's variables, or the observed functions.
    int dim() const { return model_.observed() ? model_.target_dim() : model_.dim(); }
    // s (K, n) → x (dim(), n). Column j depends on (seed, first + j) and its s alone.
    void lift(Span<const float> s, index n, uint64 seed, uint64 first, Span<float> x);
    // Each state from now on one of so many, by weight. Returns why that cannot be, and leaves it; or nothing.
    std::string choose_among(index candidates);
    // The same from what another way of lifting makes in the generator's place: made (rows, n).
    void complete(Span<const float> s, index n, Span<const float> made, Span<float> x);
    const Generator& generator() const { return generator_; }
    Generator& generator() { return generator_; }
    // InputError where there are none.
    MoleculeCoordinates& coordinates();

private:
    Stream& stream_;
    const Model& model_;
    Generator generator_;
    bool project_;
    index candidates_ = 1;
    std::vector<int> free_;
    std::shared_ptr<MoleculeCoordinates> coordinates_;
    Buffer<float> scratch_;
};

// A generator's rare outliers may lie where the force would throw an integrator's step off. States x
// (dim, n) whose own step is larger than three deviations of its noise are led down the gradient, ξ
// held at s (K, n), by steps no larger than that; others stay as they are. Gradient systems only.
// Returns the force evaluations.
double calm(Stream& stream, const Model& model, const IntegratorConfig& integrator,
            Span<const float> s, index n, Span<float> x);

// Calms every state x (dim, n) and runs it for `steps` steps with ξ held at s (K, n). `after(done)` is called
// between launches. Throws InputError for a model that only observes its states, NumericError if a
// state blows up; of a molecule, where `lost` counts them, such a state becomes its neighbour. Returns the force evaluations.
double heal(Stream& stream, const Model& model, const IntegratorConfig& integrator,
            Span<const float> s, index n, index steps, uint64 seed, uint64 first, Span<float> x,
            const std::function<void(index)>& after = {}, index* lost = nullptr);

// What is to be known about healing under a scheme that its runs do not have; empty: nothing.
std::string healing_remark(const IntegratorConfig& integrator);

// How long states on a level set remember where they began: the integrated autocorrelation time of the
// slowest of the generated variables, from constrained runs of every state, in steps.
struct Relaxation {
    double steps = 0;
    bool resolved = false;  // false: longer than `steps`, which is what `limit` allows to see
};
// x (dim, n), s (K, n), `each` consecutive states a value; one entry for each value. The runs are
// lengthened until every value is resolved or they are `limit` steps long. x stays as it is.
std::vector<Relaxation> relaxation_times(Stream& stream, const Model& model,
                                         const IntegratorConfig& integrator, Span<const float> s,
                                         index n, index each, Span<const float> x, index limit,
                                         uint64 seed, double* force_evaluations = nullptr);

}  // namespace microlift
