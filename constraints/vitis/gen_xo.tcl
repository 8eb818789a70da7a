# Makes build/@{kernel}.xo, the kernel as v++ takes it:
#
#     vivado -mode batch -source gen_xo.tcl

source [file join [file dirname [file normalize [info script]]] package_kernel.tcl]

set xo [file join $build @{kernel}.xo]
package_xo -force -xo_path $xo -kernel_name @{kernel} -ip_directory $ip -ctrl_protocol @{protocol} \
    -kernel_xml [file join $here kernel.xml]
puts "@{kernel}: $xo"
