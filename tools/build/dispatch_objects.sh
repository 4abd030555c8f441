#!/bin/sh
# Makes the objects of the CPU's run-time dispatch: dispatch_objects.sh OUT LD NM OBJCOPY SOURCE..., and on the
# standard input one line for each instruction set, lowest first: its name and its objects, between ';'.
#
# The same sources were compiled once for each set. Their symbols collide, and so do the inline functions
# of every header that they include (a linker that keeps the AVX-512 copy of std::vector's members for
# everyone breaks the program on a smaller machine). So the objects of a set become one relocatable
# object OUT/SET.o in which every symbol is local but the functions that others may call, and those are
# renamed to FUNCTION.SET. OUT/entries.S defines each FUNCTION as a jump through a table, which
# engine/device/cpu.cpp fills at start, before the constructors of global objects.
set -eu
out=$1 ld=$2 nm=$3 objcopy=$4
shift 4
mkdir -p "$out"
# Templates that the sources instantiate for others to call: "template class NAME<...>;",
# "template RESULT NAME(...)", "template RESULT NAME<...>(...)".
sed -n 's/^template [^<(]*[ *&]\([A-Za-z_0-9]*\)[<(].*/\1/p' "$@" | sort -u >"$out/instances"
cd "$out"
fail() {
    echo "dispatch_objects.sh: $*" >&2
    exit 1
}

sets= lowest=
while IFS= read -r line; do
    set=${line%%;*}
    printf '%s\n' "${line#*;}" | tr ';' '\n' >"$set.objects"
    sets="$sets $set" lowest=${lowest:-$set}
done

for set in $sets; do
    # Without section groups: the final link would keep one group of a name, from any set.
    "$ld" -r --force-group-allocation -o "$set.joined.o" "@$set.objects"
    "$nm" --defined-only --extern-only -f posix "$set.joined.o" >"$set.defined"
    # Functions: the strong ones, and those of the templates. The other weak ones are inline, and everyone has his own.
    awk 'NR == FNR { instance["9microlift" length($1) $1 "I"]; next }
         $2 == "W" { wanted = 0; for (i in instance) wanted = wanted || ($1 ~ "^_ZNK?" i && $1 !~ /ED[0-2]Ev$/) }
         $2 == "T" || ($2 == "W" && wanted) { print $1 }' \
        instances "$set.defined" | LC_ALL=C sort >"$set.functions"
    # State that others share, and code that runs before the choice, cannot be had once for each set.
    awk '$2 ~ /^[BDCGSu]$/ && $1 !~ /^_ZT[VIS]/ { print $1; bad = 1 } END { exit bad }' \
        "$set.defined" || fail "the variables above are writable and visible outside their file"
    if "$nm" "$set.joined.o" | grep -q ' _GLOBAL__sub_I_'; then
        fail "a dispatched source has global objects that are constructed at start"
    fi
    awk -v set="$set" '{ print $1 " " $1 "." set }' "$set.functions" >"$set.renamed"
    sed "s/\$/.$set/" "$set.functions" >"$set.kept"
    "$objcopy" --redefine-syms="$set.renamed" "$set.joined.o" "$set.named.o"
    # Virtual tables and types that others name come from the lowest set.
    if [ "$set" = "$lowest" ]; then
        awk '$2 ~ /^[DR]$/ || ($2 == "V" && $1 ~ /^_ZT[VIS]N9microlift/) { print $1 }' "$set.defined" >>"$set.kept"
    fi
    "$objcopy" --keep-global-symbols="$set.kept" "$set.named.o" "$set.o"
    rm "$set.joined.o" "$set.named.o"
    cmp -s "$lowest.functions" "$set.functions" ||
        fail "$lowest and $set do not define the same functions: see $out/*.functions"
done

{
    echo '    .section .note.GNU-stack,"",@progbits'
    echo '    .text'
    awk '{ printf "    .globl %s\n    .type %s, @function\n    .p2align 4\n%s:\n    endbr64\n", $1, $1, $1
           printf "    jmp *microlift_cpu_entries+%d(%%rip)\n    .size %s, . - %s\n", 8 * (NR - 1), $1, $1
         }' "$lowest.functions"
    for table in entries $sets; do
        if [ "$table" = entries ]; then
            set=$lowest
            echo '    .section .data, "aw"'
        else
            set=$table
            echo '    .section .data.rel.ro, "aw"'
        fi
        echo "    .globl microlift_cpu_$table"
        echo "    .hidden microlift_cpu_$table"
        echo '    .p2align 3'
        echo "microlift_cpu_$table:"
        sed "s/.*/    .quad &.$set/" "$lowest.functions"
    done
    echo '    .globl microlift_cpu_entry_count'
    echo '    .hidden microlift_cpu_entry_count'
    echo 'microlift_cpu_entry_count:'
    echo "    .quad $(wc -l <"$lowest.functions")"
    echo '    .quad microlift_cpu_choose  # links engine/device/cpu.cpp wherever a function is used'
} >entries.S
