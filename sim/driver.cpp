// Drives a design whose ports are a clock, a reset and valid/ready streams, for whole arrays of beats at a time.
//
// Compiled once for all designs (design.h is what it knows of one). Called from sim/simulation.py.
//
// A cycle: with the clock low this side sets its signals and the design settles; what then is valid and ready has moved; the
// clock rises. Streams with an array at their other end are in streams.h, those with a memory in memory.h.
//
// Where Verilator's runtime would end the process, as for a combinational loop, the simulation ends with FAILED instead.

#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include "design.h"
#include "memory.h"

namespace {

enum Status { RUNNING = -1, DONE = -2, IDLE = -3, FAILED = -4, FAULT = -5 };  // 0 and above: the port that broke the protocol

std::string failure;  // what went wrong when a call returned FAILED

template <typename Action> int guarded(Action action) {
    try {
        return action();
    } catch (const std::runtime_error& error) {
        failure = error.what();
        return FAILED;
    }
}

class Simulation {
  public:
    void begin() {
        cycle = idle = 0;
        for (MemoryChannel& memory : memories) memory.begin();
    }

    int run(uint64_t most, uint64_t max_idle) {
        for (uint64_t i = 0; i < most; ++i) {
            if (done()) return DONE;
            for (Port& port : ports) port.drive();
            for (MemoryChannel& memory : memories) memory.drive();
            design->settle();
            bool moved = false;
            for (size_t index = 0; index < ports.size(); ++index) {
                const uint64_t before = ports[index].moved;
                if (!ports[index].observe(cycle)) return static_cast<int>(index);
                moved |= ports[index].moved != before;
            }
            for (MemoryChannel& memory : memories) {
                if (!memory.observe()) return FAULT;
                moved |= memory.answering;  // an answer on its way is no deadlock
            }
            design->tick();
            ++cycle;
            idle = moved ? 0 : idle + 1;
            if (idle == max_idle) return IDLE;
        }
        return done() ? DONE : RUNNING;
    }

    // Holds the reset for so many cycles, and waits as long: modules enter and leave it some cycles after each other.
    int reset(unsigned cycles) {
        for (Port& port : ports) {
            port.waiting = false;
            (port.is_input ? port.valid : port.ready) = 0;
        }
        for (MemoryChannel& memory : memories) memory.restart();
        for (bool active : {true, false}) {
            if (!design->reset(active)) break;
            for (unsigned i = 0; i < cycles; ++i) {
                design->settle();
                design->tick();
            }
        }
        return RUNNING;
    }

    Port* port(int index) { return index < 0 ? nullptr : &ports[index]; }

    const std::unique_ptr<Design> design = make_design();
    std::vector<Port>& ports = design->ports;
    std::vector<MemoryChannel> memories;
    uint64_t cycle = 0;

  private:
    bool done() const {
        for (const Port& port : ports)
            if (port.moved < port.total) return false;
        return true;
    }

    uint64_t idle = 0;
};

}  // namespace

#define API extern "C" __attribute__((visibility("default")))

API Simulation* design_start() { return new Simulation; }
API void design_stop(Simulation* simulation) { delete simulation; }
API const char* design_failure() { return failure.c_str(); }
API void design_begin(Simulation* simulation) { simulation->begin(); }

API int design_reset(Simulation* simulation, unsigned cycles) {
    return guarded([&] { return simulation->reset(cycles); });
}

API int design_run(Simulation* simulation, uint64_t most, uint64_t max_idle) {
    return guarded([&] { return simulation->run(most, max_idle); });
}

API uint64_t design_cycle(Simulation* simulation) { return simulation->cycle; }
API uint64_t design_moved(Simulation* simulation, int port) { return simulation->ports[port].moved; }
API int design_open_waves(Simulation* simulation, const char* path) { return simulation->design->open_waves(path); }
API void design_close_waves(Simulation* simulation) { simulation->design->close_waves(); }

// What a port moves in the next run: `total` beats to or from an array of `length` beats of `stride` bytes; `seed` 0: no pauses.
API void design_plan(Simulation* simulation, int port, uint8_t* beats, uint64_t stride, uint64_t length, uint64_t total,
                     int64_t* cycles, uint32_t seed) {
    Port& plan = simulation->ports[port];
    plan.beats = beats;
    plan.stride = stride;
    plan.length = length;
    plan.total = total;
    plan.moved = 0;
    plan.cycles = cycles;
    plan.gaps = Gaps{seed};
}

// Binds ports (by index, -1: the design has none) to a memory of `beats` beats; what is pointed to stays the caller's.
API void design_memory(Simulation* simulation, const MemoryTiming* timing, MemoryState* state, uint8_t* contents, uint64_t beats,
                       int requests, int data, int writes, int written, int acknowledged) {
    const MemoryPorts ports{simulation->port(requests), simulation->port(data), simulation->port(writes), simulation->port(written),
                            simulation->port(acknowledged)};
    simulation->memories.emplace_back(*timing, *state, contents, beats, ports);
}

// Beats that were asked for and have not moved yet, by direction.
API uint64_t design_owed(Simulation* simulation, int memory, int writing) {
    const MemoryChannel& channel = simulation->memories[memory];
    return (writing ? channel.writes : channel.reads).left();
}
