#!/usr/bin/python3
"""Whether kernels are wide enough for a GPU: the threads of each at a job of production size. Every kernel of the
sources stands in a table here; what is narrower than 100 000 threads is named, with the work that it has."""
import os
import re
import unittest
from pathlib import Path

ROOT = Path(os.environ.get("MICROLIFT_SOURCE", Path(__file__).resolve().parents[2]))
ENOUGH = 100_000

# The job: trajectories, samples, windows and blocks for errors; values and replicas of the closure's bursts, first
# passages (all at a time; those of reduced models check a quadrature and are fewer); a training batch, its rows worked
# on at once when it generates; parameters of a network.
TRAJECTORIES, SAMPLES, WINDOWS, BLOCKS = 100_000, 10_000_000, 300, 32
VALUES, REPLICAS, BURST_BLOCKS = 48, 2112, 16
PASSAGES = 100_000
BATCH, ROWS, PARAMETERS = 65_536, 131_072, 9_000
MEASURED = 1 << 20


def source(path):
    return (ROOT / path).read_text(encoding="utf-8")


def constant(path, name):
    """A number of the sources: `name = 16384` or `name = index{1} << 20`."""
    found = re.search(rf"\b{name} = (?:index\{{)?(\d+)\}}?(?: << (\d+))?[;,]", source(path))
    assert found, f"{path}: no {name}"
    return int(found[1]) << int(found[2] or 0)


def up(a, b):
    return -(-a // b)


def mixture():
    file = "sampling/estimate/mixture_pass.ops.cpp"
    size = max(constant(file, "kLeastSamples"), up(SAMPLES, constant(file, "kMostChunks")))
    return up(SAMPLES, size) * constant("sampling/estimate/mixture_pass.h", "kWindowGroup")


def conditional():
    wanted = constant("sampling/estimate/conditional_kernels.h", "kWanted")
    bins = 62  # of one variable; more bins need fewer chunks
    return BLOCKS * bins * min(up(wanted, BLOCKS * bins), SAMPLES // (BLOCKS * bins * 8))


def moments():
    each = constant("sampling/estimate/window_kernels.h", "kMomentSamples")
    return TRAJECTORIES * up(SAMPLES // TRAJECTORIES, each)


def lags():
    """Of one lag: pieces of every window, 128 threads each."""
    piece = constant("sampling/estimate/window_kernels.h", "kPiece")
    return WINDOWS * up(SAMPLES // WINDOWS, piece) * 128


def whitening():
    file, knots = "nn/layers/whitening_bodies.h", constant("nn/layers/whitening.h", "kKnots1")
    wanted = constant(file, "kWanted")
    return knots * min(up(wanted, knots), MEASURED // constant(file, "kLeastSamples"))


def biases():
    """Of a layered training's network: tiles of 32 columns, 256 threads each."""
    file, columns = "nn/layers/bias_sums.h", 3 * 64 + 16
    rows = max(constant(file, "kLeastBiasRows"), up(BATCH, constant(file, "kMostBiasChunks")))
    return up(BATCH, rows) * up(columns, 32) * 256


def bursts():
    part, width = constant("sampling/closure/burst_block.h", "kPart"), 1 + 4 + 10
    return VALUES * BURST_BLOCKS * up(REPLICAS // BURST_BLOCKS, part) * (width + VALUES)


def stored():
    """First passages by formula, whose paths share a 64th of a GPU's memory: numbers of a step of two variables."""
    return min(PASSAGES, 80 * 10**9 // 64 // 4 // (constant("sampling/closure/first_passage.cpp", "kPiece") * 6))


def proposals():
    return SAMPLES // constant("sampling/lift/proposal_kernels.h", "kProposalChunk")


def reduction():
    return up(SAMPLES, 4096) * 256


def ranges():
    return MEASURED // constant("nn/layers/whitening_bodies.h", "kRangeColumns")


def pairs():
    n = 5000  # samples compared
    return n * up(n, constant("sampling/numerics/distances.ops.cpp", "kPairPart"))


# A row of a training batch each, and so narrower than a row each of what is generated.
ROW = {name: BATCH for name in """ConvInputBody ConvLossBody ConvOutputBody EnergyBatchBody EnergyGroupBody
    EnergyScoreBody FakeBody FlowBatchBody GatherBody HandOverBody KeepOutputBody PenaltyBody
    RelativisticSeedBody ScoreBatchBody SeedBody SquaredErrorBody""".split()}
WIDE = {
    **{name: TRAJECTORIES for name in """AcceptMoveBody CalmBody ChooseBody CountSamples CountWalkersBody DescendBody
        DrawSpringsBody DrawVelocitiesBody FamilyBody FixedRowsBody FromInternalBody FromStatesBody HalfChangeBody IslandWeightBody LiftedAcceptBody
        LiftedProposalBody LiftedWeightBody LogWeightBody MoleculePathBody MoleculeTeamBody NearWindowsBody PathBody ParentBody PullBody RestoreBondsBody StillBody SwarmOffsetBody
        SumOverWalkersBody SumSpringsBody SumTermsBody TakeDrawnBody TemperingBody ToInternalBody ToStatesBody TurnDihedralBody""".split()},
    # Of rare events: a replica, walker or trajectory each.
    **{name: TRAJECTORIES for name in """BasinBody BasinStateBody BeginLanesBody BinKeyBody ClimbBody EnsembleLookBody FirstReplicasBody
        FirstWalkersBody KeepLanesBody ListBody MarkBody MilestoneLookBody NoiseAlongBody PlaceKeyBody RememberBody
        ScoreBody SplitBody SplittingLookBody""".split()},
    **{name: SAMPLES for name in """AddScaledBody BlockHistogramBody CellHistogramBody ColumnProgramBody EmbedBody FirstBadBody
        FoldBody GridEnergyBody MinimizeBody MoleculeForcesBody MoleculeWeightBody NewtonStepBody ProposalWeightBody
        SpringEnergyBody ThinBlockBody UnembedBody
        WindowColumnsBody WindowEnergyBody""".split()},
    **{name: ROWS for name in """AngleLatentBody CopyRowBody FeatureBody FlowInputBody FlowMoveBody FlowNewtonBody FlowStepBody
        LatentBody NormalDensityBody NormalVelocityBody RoundBody SpreadOutBody UnwhitenBody WhitenBody""".split()},
    # A number of a row of the batch each.
    **{name: BATCH * 16 for name in """ActivateBody ConvActivateBody ConvBiasBody ConvHaloBody ConvSeedBody ConvSumBody
        ConvolveBody MultiplyAddBody MultiplyBody PortableProductBody TangentBody TangentOfAnglesBody TangentScaleBody
        TangentStartBody""".split()},
    "BiasSumKernel": biases(), "BurstDriftBody": VALUES * REPLICAS, "BurstSumsKernel": bursts(),
    "ConditionalKernel": conditional(), "ConvGradientBody": 16 * 5 * 64 * 64,
    "GatherMeasuredBody": MEASURED, "LagKernel": lags(), "MeasureKernel": whitening(),
    "KeepAliveBody": PASSAGES, "PassageBody": PASSAGES, "PassageStartBody": PASSAGES, "StoredPassageBody": stored(),
    "MixtureKernel": mixture(), "MomentsKernel": moments(), "PairSumBody": pairs(), "ProjectBody": 64 * 5000,
    "RangeBody": ranges(), "ReduceKernel": reduction(), "ScanKernel": reduction(),
    "ScanOffsetKernel": reduction(), "SortedGapBody": 64 * 5000, "WeightedSumsBody": proposals(),
}
# Narrower, and why that is no matter: what a thread does. A new one belongs here only for such a reason.
NARROW = {
    "AdamBody": "a parameter each",
    "AdvanceBody": "one number",
    "BiasTotalBody": "64 additions of sums that other kernels made",
    "ColumnSumKernel": "64 additions of sums that other kernels made",
    "CriticTileKernel": "two blocks a processor, by the registers and shared memory of its tensor-core tiles",
    "DistanceKernel": "128 threads a distance, a few hundred numbers each distance",
    "DivideRowsBody": "one division",
    "ExchangeBody": "a pair of replicas each, half the trajectories",
    "FinishLogSumExpBody": "one logarithm",
    "FirstColumnsBody": "one copy",
    "FlipBody": "a weight each",
    "FromFilterBody": "a weight each",
    "GatherMomentsBody": "a window and block each, of some ten sums",
    "GenerateTileKernel": "as CriticTileKernel",
    "GeneratorTileKernel": "as CriticTileKernel",
    "PortableGradientBody": "the portable mathematics, for comparisons: 16 sums a weight, as on the CPU",
    "JudgeBody": "some hundred numbers",
    "KeepBestBody": "a parameter each",
    "MetropolisChainBody": "a chain each, whose steps depend on one another",
    "RecordKernel": "one block: 128 numbers a thread",
    "ResampleBody": "a bin of a repeat each: the weights of its walkers, added in their order",
    "TakeLagBody": "a window each, of some ten sums",
    "ToFilterBody": "a weight each",
}
# Of a bias that walkers make: a point of its grid each, once an update, after the walkers were counted.
GRID = set("""AbfGradientBody ChooseUnitsBody CopyRowsBody DepositBody DivergenceBody DivideModesBody ExploredBody GatherForcesBody
    GaussianWeightsBody KernelWidthBody LadderBiasBody LadderWeightBody ModesBody OpesBiasBody PublishBody SmoothBody SpringGradientBody
    SpringWeightBody SumGradientBody UnbiasWalkersBody WeighWalkersBody""".split())
# Of coordinates that are learned, from some thousands of points: a point each, against all others.
LEARNED = set("""BlockCombineBody BlockResidualBody BlockSubtractBody FillEigenBlockBody FillKernelBody GramPartBody
    GramSumBody KernelAveragesBody KernelSumsBody MultiplyNeighboursBody MultiplyRecomputedBody
    MultiplyStoredBody NearestNeighboursBody ScaleBlockBody UnscaleBlockBody""".split())


def kernels():
    """Names of all structs that a launch takes: …Body, …Kernel, and CountSamples."""
    names = set()
    for folder in ("kernels", "engine", "nn", "sampling"):
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in (".h", ".cuh", ".cpp", ".cu"):
                names |= set(re.findall(r"\bstruct (\w+(?:Body|Kernel)|CountSamples) \{",
                                        path.read_text(encoding="utf-8")))
    return names


class Launches(unittest.TestCase):
    def test_every_kernel_is_known(self):
        known = [set(WIDE), set(NARROW), set(ROW), GRID, LEARNED]
        together = set().union(*known)
        self.assertEqual(sum(map(len, known)), len(together), "named twice")
        self.assertEqual(kernels() - together, set(), "new kernels: how many threads have they?")
        self.assertEqual(together - kernels(), set(), "kernels that are no more")

    def test_wide_ones_are_wide(self):
        for name, threads in WIDE.items():
            with self.subTest(name):
                self.assertGreaterEqual(threads, ENOUGH)


if __name__ == "__main__":
    unittest.main()
