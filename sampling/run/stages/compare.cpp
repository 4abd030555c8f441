// Other kinds of generators, trained on the same data for comparison.
#include "sampling/run/stages.h"

#include <algorithm>

#include "sampling/run/meter.h"
#include "sampling/run/targets.h"

namespace microlift {

namespace {

ComparedGenerator train_kind(Run& run, const std::string& kind) {
    const Targets y = targets(run);
    const TrainerConfig config = compared_config(run.config.generator, run.config.cv, kind,
                                                 derived_seed(run.config.seed, 3000));
    const auto trainer =
        make_trainer(run.stream, config, static_cast<int>(y.count), run.model.n_cvs());
    TrainingData data;
    data.give(run, *trainer, y);
    run.progress.begin("train " + kind + ", for comparison", static_cast<double>(config.iterations),
                       "updates");
    const auto start = Clock::now();
    {
        StageMeter meter(run.record, "compare");
        while (!trainer->done()) {
            trainer->advance(100);
            run.stream.synchronize();
            trainer->check();
            run.progress.update(static_cast<double>(trainer->iteration()));
            throw_if_stopped();
        }
    }
    run.progress.end();
    return {kind, seconds_since(start), static_cast<double>(trainer->iteration()),
            trainer->history().best, trainer->generator_tensors()};
}

}  // namespace

void compare_generators(Run& run) {
    run.compared = {{run.config.generator.kind, run.record.cost("train").seconds,
                     run.generator.updates, run.generator.best, run.generator.weights}};
    for (const std::string& kind : run.config.generator.compare) {
        run.compared.push_back(train_kind(run, kind));
        write_safetensors(run.dir / ("generator_" + kind + ".safetensors"),
                          run.compared.back().weights);
    }
    Json list = Json::array();
    for (const ComparedGenerator& c : run.compared)
        list.push_back({{"kind", c.kind},
                        {"seconds", c.seconds},
                        {"updates", c.updates},
                        {"best_w1", c.best}});
    run.record["compare"] = list;
    run.write_metrics();
}

}  // namespace microlift
