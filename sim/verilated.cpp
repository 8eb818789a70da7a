// A verilated design behind the interface of design.h.
//
// Compiled for every design, together with what Verilator wrote and the generated "ports.inc": a line PORT(is_input, payload,
// valid, ready) for every stream, and DESIGN_CLOCK and DESIGN_RESET where the design has them.

#include <stdexcept>

#include "Vdesign.h"
#include "design.h"
#include "verilated.h"
#if VM_TRACE
#include "verilated_vcd_c.h"
#endif

namespace {

class VerilatedDesign final : public Design {
  public:
    VerilatedDesign() {
#define PORT(is_input, payload, valid, ready) \
    ports.push_back({is_input, reinterpret_cast<uint8_t*>(&model.payload), sizeof(model.payload), model.valid, model.ready});
#include "ports.inc"
#undef PORT
        for (Port& port : ports) port.held.resize(port.bytes);
#if VM_TRACE
        model.trace(&trace, 99);
#endif
    }

    ~VerilatedDesign() override { model.final(); }

    void settle() override {
#ifdef DESIGN_CLOCK
        model.DESIGN_CLOCK = 0;
#endif
        eval();
    }

    void tick() override {
#ifdef DESIGN_CLOCK
        model.DESIGN_CLOCK = 1;
        eval();
#endif
    }

    bool reset([[maybe_unused]] bool active) override {
#ifdef DESIGN_RESET
        model.DESIGN_RESET = active;
        return true;
#else
        return false;
#endif
    }

    bool open_waves([[maybe_unused]] const char* path) override {
#if VM_TRACE
        trace.open(path);
        return trace.isOpen();
#else
        return false;
#endif
    }

    void close_waves() override {
#if VM_TRACE
        trace.close();
#endif
    }

  private:
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
};

}  // namespace

std::unique_ptr<Design> make_design() { return std::make_unique<VerilatedDesign>(); }

// Verilator's runtime calls this where it cannot go on.
void vl_fatal(const char*, int, const char*, const char* message) { throw std::runtime_error(message); }
