// A model of the DSP48E2 for the tests, written from AMD's user guide UG579: the multiplier with the pre-adder in front and
// the P cascade behind, with the registers that the attributes ask for. Any other mode stops the simulation.
module DSP48E2 #(
    parameter integer ACASCREG = 1, ADREG = 1, ALUMODEREG = 1, AREG = 1, BCASCREG = 1, BREG = 1, CARRYINREG = 1,
    parameter integer CARRYINSELREG = 1, CREG = 1, DREG = 1, INMODEREG = 1, MREG = 1, OPMODEREG = 1, PREG = 1,
    parameter AMULTSEL = "A", BMULTSEL = "B", PREADDINSEL = "A"
) (
    input CLK,
    input [29:0] A, input [17:0] B, input [47:0] C, input [26:0] D, input [47:0] PCIN,
    input [4:0] INMODE, input [3:0] ALUMODE, input [8:0] OPMODE, input CARRYIN, input [2:0] CARRYINSEL,
    input CEA1, input CEA2, input CEAD, input CEALUMODE, input CEB1, input CEB2, input CEC, input CECARRYIN, input CECTRL,
    input CED, input CEINMODE, input CEM, input CEP,
    input RSTA, input RSTALLCARRYIN, input RSTALUMODE, input RSTB, input RSTC, input RSTCTRL, input RSTD, input RSTINMODE,
    input RSTM, input RSTP,
    output [47:0] P, output [47:0] PCOUT
);
    wire enabled = CEA2 & CEAD & CEB1 & CEB2 & CED & CEM & CEP;
    wire held = RSTA | RSTB | RSTD | RSTM | RSTP;
    reg signed [26:0] a, d, ad;
    reg signed [17:0] b1, b2;
    reg signed [44:0] product;
    reg [47:0] total;
    // Z multiplexer, OPMODE[6:4]: nothing or the cascade; X and Y, OPMODE[3:0] = 0101: the product.
    wire [47:0] z = OPMODE[6:4] == 3'b001 ? PCIN : 48'd0;
    wire [47:0] xy = {{3{product[44]}}, product};

    initial begin
        if (AREG != 1 || BREG != 2 || DREG != 1 || ADREG != 1 || MREG != 1 || PREG != 1 || CREG != 0) $fatal(1, "registers");
        if (INMODEREG != 0 || OPMODEREG != 0 || ALUMODEREG != 0 || CARRYINREG != 0 || CARRYINSELREG != 0) $fatal(1, "control");
        if (ACASCREG != 1 || BCASCREG != 2) $fatal(1, "cascade registers");
        if (AMULTSEL != "AD" || BMULTSEL != "B" || PREADDINSEL != "A") $fatal(1, "multiplier inputs");
    end

    always @(posedge CLK) begin
        if (INMODE != 5'b00100 || ALUMODE != 4'b0000 || CARRYIN != 0 || CARRYINSEL != 0 || !enabled || held) $fatal(1, "mode");
        if (OPMODE != 9'b000000101 && OPMODE != 9'b000010101) $fatal(1, "OPMODE");
        a <= A[26:0];
        d <= D;
        ad <= d + a;
        b1 <= B;
        b2 <= b1;
        product <= ad * b2;
        total <= z + xy;
    end
    assign P = total;
    assign PCOUT = total;
endmodule
