// Drives a verilated design whose ports are a clock, a reset and valid/ready streams, for whole arrays of beats at a time.
//
// Compiled once per design, together with the generated "ports.inc": a line PORT(is_input, payload, valid, ready) for every
// stream, and DESIGN_CLOCK and DESIGN_RESET where the design has them. Called from sim/verilator.py.
//
// A cycle: with the clock low this side sets its signals and the design settles; what then is valid and ready has moved; the
// clock rises. Streams with an array at their other end are in streams.h, those with a memory in memory.h.
//
// Where Verilator's runtime would end the process, as for a combinational loop, the simulation ends with FAILED instead.

#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include "Vdesign.h"
#include "memory.h"
#include "streams.h"
#include "verilated.h"
#if VM_TRACE
#include "verilated_vcd_c.h"
#endif

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
    Simulation() {
#define PORT(is_input, payload, valid, ready) \
    ports.push_back({is_input, reinterpret_cast<uint8_t*>(&model.payload), sizeof(model.payload), model.valid, model.ready});
#include "ports.inc"
#undef PORT
        for (Port& port : ports) port.held.resize(port.bytes);
#if VM_TRACE
        model.trace(&trace, 99);
#endif
    }

    ~Simulation() { model.final(); }

    void begin() {
        cycle = idle = 0;
        for (MemoryChannel& memory : memories) memory.begin();
    }

    int run(uint64_t most, uint64_t max_idle) {
        for (uint64_t i = 0; i < most; ++i) {
            if (done()) return DONE;
            for (Port& port : ports) port.drive();
            for (MemoryChannel& memory : memories) memory.drive();
            settle();
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
            tick();
            ++cycle;
            idle = moved ? 0 : idle + 1;
            if (idle == max_idle) return IDLE;
        }
        return done() ? DONE : RUNNING;
    }

    int reset(unsigned cycles) {
        for (Port& port : ports) {
            port.waiting = false;
            (port.is_input ? port.valid : port.ready) = 0;
        }
        for (MemoryChannel& memory : memories) memory.restart();
#ifdef DESIGN_RESET
        model.DESIGN_RESET = 1;
        for (unsigned i = 0; i < cycles; ++i) {
            settle();
            tick();
        }
        model.DESIGN_RESET = 0;
#endif
        return RUNNING;
    }

    bool open_waves(const char* path) {
#if VM_TRACE
        trace.open(path);
        return trace.isOpen();
#else
        return false;
#endif
    }

    void close_waves() {
#if VM_TRACE
        trace.close();
#endif
    }

    Port* port(int index) { return index < 0 ? nullptr : &ports[index]; }

    std::vector<Port> ports;
    std::vector<MemoryChannel> memories;
    uint64_t cycle = 0;

  private:
    bool done() const {
        for (const Port& port : ports)
            if (port.moved < port.total) return false;
        return true;
    }

    void settle() {
#ifdef DESIGN_CLOCK
        model.DESIGN_CLOCK = 0;
#endif
        eval();
    }

    void tick() {
#ifdef DESIGN_CLOCK
        model.DESIGN_CLOCK = 1;
        eval();
#endif
    }

    void eval() {
        model.eval();
#if VM_TRACE
        if (trace.isOpen()) trace.dump(context.time());
        context.timeInc(1);
#endif
    }

    struct Context : VerilatedContext {
        Context() { traceEverOn(VM_TRACE); }
    } context;
    Vdesign model{&context};
#if VM_TRACE
    VerilatedVcdC trace;
#endif
    uint64_t idle = 0;
};

}  // namespace

void vl_fatal(const char*, int, const char*, const char* message) { throw std::runtime_error(message); }

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
API int design_open_waves(Simulation* simulation, const char* path) { return simulation->open_waves(path); }
API void design_close_waves(Simulation* simulation) { simulation->close_waves(); }

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
