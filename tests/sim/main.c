// SPDX-License-Identifier: Apache-2.0
// kvs-sim --seeds 2000 [--first S]     runs many seeds
// kvs-sim --seed S [--trace]           runs one, and shows what happens
// --mutation NAME                      with a rule taken out: exit 0 if some seed notices
// --scene NAME [--golden FILE]         a small scene's trace; compared with FILE
// --fifty SECONDS                      fifty nodes: convergence, failure detection, and so long a
//                                      time of 5 % loss in which nobody may be declared dead
#include "tests/sim/sim.h"

#include <inttypes.h>
#include <stdlib.h>
#include <time.h>

static const struct {
    const char *name;
    unsigned mutation;
} mutations[] = {
    {"no-zombie-refusal", KVS_MUTATION_NO_ZOMBIE_REFUSAL},
    {"no-plus-one", KVS_MUTATION_NO_PLUS_ONE},
    {"reversed-tie", KVS_MUTATION_REVERSED_TIE},
    {"grace-period", KVS_MUTATION_GRACE_PERIOD},
    {"ack-before-durable", KVS_MUTATION_ACK_BEFORE_DURABLE},
    {"digest-skips-overwrite", KVS_MUTATION_DIGEST_SKIPS_OVERWRITE},
};

struct totals {
    uint64_t steps, messages, bytes, writes, acked, drops, purged, deferred, conflicts, returns,
        joins, divergences, faults, duplicates, revivals, undone, flips, repairs, cores;
};

static void add(struct totals *t, const struct sim *s)
{
    t->steps += s->steps;
    t->messages += s->messages;
    t->bytes += s->bytes;
    t->writes += s->writes;
    t->acked += s->acked;
    t->drops += s->drops;
    t->purged += s->purged;
    t->deferred += s->deferred;
    t->conflicts += s->conflicts;
    t->returns += s->returns;
    t->joins += s->joins;
    t->divergences += s->divergences;
    t->faults += s->faults;
    t->revivals += s->revivals;
    t->undone += s->undone;
    t->duplicates += s->duplicates;
    t->flips += s->flips;
    t->repairs += s->repairs;
    t->cores += s->cores;
}

static void print(const struct totals *t)
{
    printf("steps %" PRIu64 ", messages %" PRIu64 " (%" PRIu64 " bytes), faults %" PRIu64 "\n",
           t->steps, t->messages, t->bytes, t->faults);
    printf("writes %" PRIu64 ", acknowledged %" PRIu64 ", conflicts %" PRIu64 ", deferred %" PRIu64
           ", forgotten deletions %" PRIu64 "\n",
           t->writes, t->acked, t->conflicts, t->deferred, t->purged);
    printf("dropped %" PRIu64 ", returns %" PRIu64 ", joins %" PRIu64 ", copies stopped %" PRIu64
           "\n",
           t->drops, t->returns, t->joins, t->duplicates);
    printf("damaged records %" PRIu64 ", repaired %" PRIu64 "; connected cores %" PRIu64 "\n",
           t->flips, t->repairs, t->cores);
    printf("after exiles: %" PRIu64 " versions taken from below the watermark, %" PRIu64
           " roots put right, %" PRIu64 " newer writes undone\n",
           t->revivals, t->divergences, t->undone);
}

static uint64_t number(const char *text)
{
    return text ? strtoull(text, NULL, 0) : 0;
}

static int run_scene(struct sim *sim, const char *scene, const char *golden)
{
    char *text = NULL;
    size_t size = 0;
    sim->trace = open_memstream(&text, &size);
    if (!sim->trace)
        return 1;
    FILE *trace = sim->trace;
    bool known = scene_play(sim, scene);
    fclose(trace);
    sim->trace = NULL;
    int result = known && !sim->failed ? 0 : 1;
    if (known)
        sim_done(sim);
    FILE *file = golden ? fopen(golden, "r") : NULL;
    char *expected = calloc(1, size + 2);
    if (!golden)
        fputs(text, stdout);
    else if (!file || !expected || fread(expected, 1, size + 1, file) != size ||
             memcmp(expected, text, size) != 0)
        result = 1;
    if (golden && result != 0)
        printf("the trace of '%s' is not %s; it is:\n%s", scene, golden, text);
    if (file)
        fclose(file);
    free(expected);
    free(text);
    return result;
}

static int run_fifty(struct sim *sim, int64_t loss_s)
{
    scene_fifty(sim, loss_s);
    printf("fifty nodes: %s\n", sim->failed ? sim->failure : "ok");
    int result = sim->failed;
    sim_done(sim);
    return result;
}

int main(int argc, char **argv)
{
    uint64_t first = 1;
    uint64_t count = 1;
    unsigned mutation = 0;
    bool trace = false;
    bool keep_going = false;
    int64_t fifty_s = 0;
    const char *scene = NULL;
    const char *golden = NULL;
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (strcmp(argv[i], "--trace") == 0)
            trace = true;
        else if (strcmp(argv[i], "--keep-going") == 0)
            keep_going = true;
        else if (strcmp(argv[i], "--fifty") == 0 && ++i)
            fifty_s = (int64_t)number(value);
        else if (strcmp(argv[i], "--scene") == 0 && ++i)
            scene = value;
        else if (strcmp(argv[i], "--golden") == 0 && ++i)
            golden = value;
        else if (strcmp(argv[i], "--seeds") == 0 && ++i)
            count = number(value);
        else if ((strcmp(argv[i], "--first") == 0 || strcmp(argv[i], "--seed") == 0) && ++i)
            first = number(value);
        else if (strcmp(argv[i], "--mutation") == 0 && ++i) {
            for (size_t m = 0; m < sizeof(mutations) / sizeof(mutations[0]); m++)
                if (value && strcmp(mutations[m].name, value) == 0)
                    mutation = mutations[m].mutation;
            if (mutation == 0)
                return 2;
        } else
            return 2;
    }
#ifndef KVS_REPL_MUTATIONS
    if (mutation & ~(unsigned)KVS_MUTATION_DIGEST_SKIPS_OVERWRITE) {
        fprintf(stderr, "this build has no mutations: use kvs-sim-mutants\n");
        return 2;
    }
#endif
    struct sim *sim = malloc(sizeof(*sim));
    if (!sim)
        return 1;
    if (scene || fifty_s > 0) {
        *sim = (struct sim){.trace = trace && fifty_s > 0 ? stdout : NULL};
        int result = fifty_s > 0 ? run_fifty(sim, fifty_s) : run_scene(sim, scene, golden);
        free(sim);
        return result;
    }
    (void)setvbuf(stdout, NULL, _IOLBF, 0); // a long run is looked at while it goes
    struct totals totals = {0};
    uint64_t failures = 0;
    clock_t start = clock();
    for (uint64_t seed = first; seed < first + count; seed++) {
        *sim = (struct sim){.trace = trace ? stdout : NULL};
        scenario_run(sim, seed, mutation);
        add(&totals, sim);
        bool failed = sim->failed;
        if (failed && mutation == 0)
            printf("seed %" PRIu64 " FAILED %s\n  replay: kvs-sim --seed %" PRIu64 " --trace\n",
                   seed, sim->failure, seed);
        else if (failed)
            printf("seed %" PRIu64 " noticed: %s\n", seed, sim->failure);
        sim_done(sim);
        failures += failed;
        if (failed && !keep_going)
            break;
    }
    free(sim);
    print(&totals);
    printf("%" PRIu64 " seeds, %" PRIu64 " failed, %.1f s\n", count, failures,
           (double)(clock() - start) / CLOCKS_PER_SEC);
    if (mutation != 0)
        return failures > 0 ? 0 : 1;
    return failures > 0 ? 1 : 0;
}
