#version 3.7;
global_settings { assumed_gamma 1 }
camera { location <0, 3, -8> look_at <0, 0.5, 0> }
light_source { <10, 20, -10> rgb 1 area_light <4, 0, 0>, <0, 4, 0>, 4, 4 }
plane { y, -1 pigment { checker rgb 0.9 rgb 0.2 } finish { reflection 0.2 } }
#declare I = 0;
#while (I < 12)
    sphere {
        <3 * cos(I * pi / 6), 0.3 * mod(I, 4), 3 * sin(I * pi / 6)>, 0.8
        texture { pigment { rgbf <1, 0.9, 0.8, 0.7> } finish { phong 1 reflection 0.3 } }
        interior { ior 1.4 }
    }
    #declare I = I + 1;
#end
isosurface {
    function { x * x + y * y + z * z - 1 + 0.3 * sin(8 * x) * sin(8 * y) * sin(8 * z) }
    contained_by { box { -1.6, 1.6 } }
    max_gradient 6
    texture { pigment { rgb <0.3, 0.5, 1> } finish { phong 0.6 } }
}
